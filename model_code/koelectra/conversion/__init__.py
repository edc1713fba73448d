"""What `export.py` does. Needs the packages of requirements-koelectra.txt; never runs in a container."""
