"""The paper's figures: neighbours, and what a class score hangs on."""
