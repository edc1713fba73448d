"""A live view of a deployment: traffic of the old and the new fleet, alarms, stages."""
