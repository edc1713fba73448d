"""The patterns: one thin stack each, and the settings they are deployed with."""
