//! Exit codes, the only place that knows their numbers (spec: exit codes).

/// The outcome of a session as a process exit code. It travels as an i32 LE in
/// [`ErrorExit`](crate::mux::MsgTag::ErrorExit) (protocol ≥ 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ExitCode(pub u8);

impl ExitCode {
    /// 0: everything done.
    pub const OK: Self = Self(0);
    /// 1: syntax or usage error.
    pub const SYNTAX: Self = Self(1);
    /// 2: protocol incompatibility.
    pub const PROTOCOL: Self = Self(2);
    /// 3: errors selecting input/output files, dirs.
    pub const FILE_SELECT: Self = Self(3);
    /// 4: requested action not supported.
    pub const UNSUPPORTED: Self = Self(4);
    /// 5: error starting client-server protocol.
    pub const START_CLIENT: Self = Self(5);
    /// 10: error in socket IO.
    pub const SOCKET_IO: Self = Self(10);
    /// 11: error in file IO.
    pub const FILE_IO: Self = Self(11);
    /// 12: error in rsync protocol data stream.
    pub const STREAM_IO: Self = Self(12);
    /// 13: errors with program diagnostics.
    pub const MESSAGE_IO: Self = Self(13);
    /// 14: error in IPC code.
    pub const IPC: Self = Self(14);
    /// 19: received SIGUSR1.
    pub const SIGNAL1: Self = Self(19);
    /// 20: received SIGINT, SIGTERM, or SIGHUP.
    pub const SIGNAL: Self = Self(20);
    /// 21: waitpid() failed.
    pub const WAIT_CHILD: Self = Self(21);
    /// 22: error allocating core memory buffers, or a limit.
    pub const MALLOC: Self = Self(22);
    /// 23: some files/attrs were not transferred.
    pub const PARTIAL: Self = Self(23);
    /// 24: some files vanished before they could be transferred.
    pub const VANISHED: Self = Self(24);
    /// 25: the --max-delete limit stopped deletions.
    pub const DEL_LIMIT: Self = Self(25);
    /// 30: timeout in data send/receive.
    pub const TIMEOUT: Self = Self(30);
    /// 35: timeout waiting for daemon connection.
    pub const CONNECT_TIMEOUT: Self = Self(35);

    /// The code that a process has which exits with the number of an `ErrorExit` message: its low byte, as the system takes it.
    #[allow(clippy::cast_possible_truncation, reason = "an exit status is a byte")]
    pub const fn from_wire(number: i32) -> Self {
        Self(number as u8)
    }

    /// The text that goes with the code in `rsync error: TEXT (code N)`; success has none of its own.
    pub const fn text(self) -> &'static str {
        match self.0 {
            1 => "syntax or usage error",
            2 => "protocol incompatibility",
            3 => "errors selecting input/output files, dirs",
            4 => "requested action not supported",
            5 => "error starting client-server protocol",
            10 => "error in socket IO",
            11 => "error in file IO",
            12 => "error in rsync protocol data stream",
            13 => "errors with program diagnostics",
            14 => "error in IPC code",
            15 => "sibling process crashed",
            16 => "sibling process terminated abnormally",
            19 => "received SIGUSR1",
            20 => "received SIGINT, SIGTERM, or SIGHUP",
            21 => "waitpid() failed",
            22 => "error allocating core memory buffers",
            23 => "some files/attrs were not transferred (see previous errors)",
            24 => "some files vanished before they could be transferred",
            25 => "the --max-delete limit stopped deletions",
            30 => "timeout in data send/receive",
            35 => "timeout waiting for daemon connection",
            124 => "remote shell failed",
            125 => "remote shell killed",
            126 => "remote command could not be run",
            127 => "remote command not found",
            _ => "unexplained error",
        }
    }
}
