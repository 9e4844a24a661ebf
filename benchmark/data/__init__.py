"""Images and labels: formats, splits, the decoded-image store, augmentation, synthetic faces."""
