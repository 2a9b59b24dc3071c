"""Options, in sections: what may be given, read from pytest and checked."""
