"""`dilo-eval detect`: a backbone fine-tuned to find objects, scored as VOC and COCO score."""
