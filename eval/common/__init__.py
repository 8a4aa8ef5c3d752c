"""What every command of dilo-eval does: records, tables, plots, pairing."""
