"""What the machine did beside the rounds of a case: devices, processes, energy, disturbances."""
