"""Lambda functions: invoked through their alias, or over HTTP with a signature."""
