"""Systems that join a finished study, and the answer that goes on from the last one."""
