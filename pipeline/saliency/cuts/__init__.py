"""Graph cuts: GrabCut as a refinement, and what a gradient's map seeds."""
