"""The server of ranks by the name under which every revision starts it."""

from pytest_gpt_dist.cluster.local.__main__ import main

if __name__ == "__main__":
    main()
