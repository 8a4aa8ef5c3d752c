"""What setup.cfg cannot say: a build leaves nothing in the checkout."""

import tempfile

from setuptools import setup

with tempfile.TemporaryDirectory(prefix="dilo-build-") as folder:
    setup(options={"build": {"build_base": folder}, "egg_info": {"egg_base": folder}})
