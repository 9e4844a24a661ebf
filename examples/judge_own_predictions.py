"""Is the gain of one's own training code real? Its predictions in a table, and the verdict.

python examples/judge_own_predictions.py
"""

import numpy as np
import pandas as pd

from ferfuse import judge

generator = np.random.default_rng(0)
rows = []
for seed in range(8):  # the table that your own code writes: a line for each method, seed and test image
    for image in range(500):
        label = image % 7
        for method, accuracy in (("mine", 0.90), ("baseline", 0.84)):
            right = generator.random() < accuracy
            rows.append((method, seed, f"test_{image:04d}", label, label if right else (label + 1) % 7))

predictions = pd.DataFrame(rows, columns=["method", "seed", "image_id", "label", "prediction"])
judgement = judge(predictions, method="mine", against=["baseline"])
found = judgement.rows[0]
low, high = found.test.images_interval
print(f"{found.method} is {found.test.verdict} than {found.baseline}:", end=" ")
print(f"{found.test.mean:+.2f} points [{low:+.2f}, {high:+.2f}]")
