"""What the system tests share: processes, a broker, the stack of daemons, a bus connection."""
