"""Decide whether a difference between methods is real: pure functions, numbers in, numbers out.

Shapes are written with S seeds, P pairs of backbones, N images, M methods, K comparisons. A difference is
method minus baseline. Functions on differences keep the unit of what they are given; proportions are
fractions of 1. Nothing here reads a file or draws a random number without a `numpy.random.Generator` from the
caller.

    paired         t test and exact sign-flip test over seeds
    unpaired       Welch's t test, for seeds that are not matched
    quantile       quantiles of t where scipy's import would take too long
    overlap        what test parts of one data set do to the error of a mean
    family         several comparisons at once: t, Holm, sign flips, equivalence
    multiplicity   Holm
    equivalence    two one-sided t tests
    bootstrap      crossed bootstrap over seeds and images
    standing       the best of several, and what is not told apart from it
    interaction    does the order of the methods depend on the pair?
    mcnemar        two single trained models on the same images
    prediction     where would one more run fall?
    proportions    Wilson interval, attainable accuracies, reduction of error
    power          detectable difference, seeds needed
    verdicts       the words of the report
"""
