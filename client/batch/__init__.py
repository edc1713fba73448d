"""Files of rows through a batch workflow: sent, followed, counted, compared with known labels, looked up."""
