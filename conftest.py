"""What the tests need before any of them is collected."""

pytest_plugins = ["pytester"]
