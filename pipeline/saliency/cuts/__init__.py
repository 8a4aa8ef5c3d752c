"""GrabCut as a refinement, and the colours that any cut goes by."""
