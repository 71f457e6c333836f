//! Writes the log's lines on a thread of its own, so that nothing else waits for standard error.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Lines that may wait to be written; one more is dropped.
const WAITING: usize = 4096;
/// How often what has no line of its own is told.
const TELL: Duration = Duration::from_secs(1);
/// How long the last lines are waited for at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// How a line looks, and so how what does not belong into one is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

/// How many lines were not written: too many waited, or the writing failed.
#[derive(Debug, Clone, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    /// Lines so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

enum Message {
    Line(Vec<u8>),
    /// Answered when the lines before it are written.
    Flush(Sender<()>),
}

/// The thread that writes. Dropping it writes what waits.
pub struct Writer {
    lines: Lines,
    tell: Arc<dyn Fn() + Send + Sync>,
}

/// Where lines are left. Takes a whole line in each call of `write`.
#[derive(Clone)]
pub struct Lines {
    waiting: Sender<Message>,
    dropped: Dropped,
    form: Form,
}

impl Writer {
    /// `tell` may leave lines; it is called every second, and at the end.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        output: impl Write + Send + 'static,
        form: Form,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::with_room(output, form, WAITING, tell)
    }

    fn with_room(
        output: impl Write + Send + 'static,
        form: Form,
        room: usize,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (waiting, lines) = bounded(room);
        let tell: Arc<dyn Fn() + Send + Sync> = Arc::new(tell);
        let telling = tell.clone();
        let dropped = Dropped::default();
        let failed = dropped.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(output, &lines, &failed, &*telling))?;
        Ok(Self { lines: Lines { waiting, dropped, form }, tell })
    }

    #[must_use]
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }

    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.lines.dropped.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        (self.tell)();
        let deadline = Instant::now() + FLUSH;
        let (done, written) = bounded(1);
        // An output that blocks must not keep the process.
        if self.lines.waiting.send_deadline(Message::Flush(done), deadline).is_ok() {
            let _ = written.recv_deadline(deadline);
        }
    }
}

/// The thread, for as long as the process may log.
fn write(
    mut output: impl Write,
    lines: &Receiver<Message>,
    failed: &Dropped,
    tell: &(dyn Fn() + Send + Sync),
) {
    let mut next = Instant::now() + TELL;
    loop {
        match lines.recv_deadline(next) {
            Ok(Message::Line(line)) => {
                if output.write_all(&line).is_err() {
                    failed.add_one();
                }
            }
            Ok(Message::Flush(done)) => {
                let _ = output.flush();
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        if now >= next {
            next = now + TELL;
            tell();
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.waiting.try_send(Message::Line(one_line(line, self.form))).is_err() {
            self.dropped.add_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line with what would break it or a terminal escaped.
fn one_line(line: &[u8], form: Form) -> Vec<u8> {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
    let mut whole = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match (c, form) {
            // Within strings, the only place where JSON on one line may have them.
            (c, Form::Json) if c.is_control() => {
                let _ = write!(whole, "\\u{:04x}", u32::from(c));
            }
            (c, _) if c.is_control() => whole.extend(c.escape_default()),
            (c, _) => whole.push(c),
        }
    }
    whole.push('\n');
    whole.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn escaped(line: &str, form: Form) -> String {
        String::from_utf8(one_line(line.as_bytes(), form)).unwrap()
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(escaped("plain é\n", Form::Text), "plain é\n");
        let nasty = "a\r\nb\x1b[31m\u{9b}1m\tc\u{7f}\n";
        let text = r"a\r\nb\u{1b}[31m\u{9b}1m\tc\u{7f}";
        assert_eq!(escaped(nasty, Form::Text), format!("{text}\n"));
        let json = escaped("{\"a\":\"\u{9b}\u{7f}\"}\n", Form::Json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((value["a"].as_str(), json.lines().count()), (Some("\u{9b}\u{7f}"), 1));
        assert!(!json.contains(['\u{9b}', '\u{7f}']));
    }

    /// Says when a write begins, and waits in it until it is let go.
    struct Blocked {
        begun: Sender<()>,
        go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            let _ = self.go.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_wait_is_dropped_and_counted_and_the_rest_is_written_at_the_end() {
        let (begun, writing) = bounded(16);
        let (let_go, go) = bounded::<()>(0);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let output = Blocked { begun, go, written: written.clone() };
        let writer = Writer::with_room(output, Form::Text, 2, || ()).unwrap();
        let mut lines = writer.lines();
        writeln!(lines, "written").unwrap();
        writing.recv().unwrap();
        for line in ["waits", "waits too", "dropped", "dropped too"] {
            lines.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        let dropped = writer.dropped();
        assert_eq!(dropped.count(), 2);
        drop(let_go);
        drop(writer);
        assert_eq!(*written.lock().unwrap(), b"written\nwaits\nwaits too\n");
        assert_eq!(dropped.count(), 2);
    }

    #[test]
    fn lines_into_a_closed_pipe_are_counted() {
        let (reader, pipe) = io::pipe().unwrap();
        drop(reader);
        let writer = Writer::start(pipe, Form::Text, || ()).unwrap();
        let dropped = writer.dropped();
        for _ in 0..3 {
            writer.lines().write_all(b"a line\n").unwrap();
        }
        drop(writer);
        assert_eq!(dropped.count(), 3);
    }

    #[test]
    fn an_output_that_blocks_for_ever_does_not_keep_the_process() {
        let (begun, writing) = bounded(1);
        let (_let_go, go) = bounded::<()>(0);
        let output = Blocked { begun, go, written: Arc::default() };
        let writer = Writer::with_room(output, Form::Text, 1, || ()).unwrap();
        writer.lines().write_all(b"a line\n").unwrap();
        writing.recv().unwrap();
        writer.lines().write_all(b"another\n").unwrap();
        drop(writer);
    }
}
