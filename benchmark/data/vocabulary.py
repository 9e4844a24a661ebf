"""The class names that every data set is mapped onto."""

RAF_DB_CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")

OFFICIAL_COUNTS = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}  # images of each class in RAF-DB basic

SYNTHETIC_MARK = "SYNTHETIC"  # a file of this name beside the label file's folder says that the images are drawn
