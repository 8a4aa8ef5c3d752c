"""What a run stands on: processes, devices, signals, and how it uses the machine."""
