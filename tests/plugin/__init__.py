"""Tests of the plugin: sessions of their own, as users run them."""
