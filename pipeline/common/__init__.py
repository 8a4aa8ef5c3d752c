"""Tools that know neither images nor stores."""
