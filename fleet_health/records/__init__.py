"""Write alerts, silences and the state to files and to the journal. Other packages decide what is written."""
