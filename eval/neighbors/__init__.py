"""`dilo-eval neighbors`: what networks find most similar."""
