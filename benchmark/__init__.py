"""ferfuse: the benchmark around the backbones and the fusion methods."""
