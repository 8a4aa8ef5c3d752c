"""The shipped recipes: NAME.toml is what `dilo-train --recipe NAME` reads."""
