"""What is wrong: each detector looks at the fleet at one instant, and finds the hosts with its symptom. Pure."""
