"""Many runs by one file: arms and seeds, trained and evaluated by the programs themselves."""
