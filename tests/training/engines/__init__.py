"""Tests of training; a package, so that its conftest is not mistaken for another."""
