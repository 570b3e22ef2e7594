import Glibc

/// The terminal on standard output.
struct Terminal {
  /// Characters in a line.
  var columns: Int

  /// `nil` if standard output is no terminal.
  static var standardOutput: Terminal? {
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
    var size = winsize()
    let isKnown = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    return Terminal(columns: isKnown ? Int(size.ws_col) : 80)
  }
}
