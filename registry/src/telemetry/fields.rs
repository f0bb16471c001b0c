//! The fields of a log line as text, one line whatever is in them, and cheap: every request writes one.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes the message as it is and every other field as `name=value`, texts in quotes. Control characters are escaped: nobody
/// writes a line of their own into the log, or to the terminal of who reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneLine;

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, begun: false, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.field(field, value);
        }
    }

    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) -> fmt::Result {
        if self.begun {
            self.writer.write_char(' ')?;
        }
        self.begun = true;
        if field.name() != "message" {
            self.writer.write_str(field.name())?;
            self.writer.write_char('=')?;
        }
        value(&mut self.writer)
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = is_printable(value) && !value.contains(['"', '\\']);
        match field.name() {
            "message" => self.write(field, |writer| Escaping(writer).write_str(value)),
            _ if is_plain => self.write(field, |writer| {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            }),
            _ => self.write(field, |writer| write!(writer, "{value:?}")),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |writer| write!(writer, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |writer| write!(writer, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |writer| write!(Escaping(writer), "{value:?}"));
    }
}

/// Passes everything on but control characters.
struct Escaping<'a, 'writer>(&'a mut Writer<'writer>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_printable(text) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|char| match char.is_control() || turns(char) {
            true => write!(self.0, "{}", char.escape_default()),
            false => self.0.write_char(char),
        })
    }
}

/// Whether a character breaks a line or turns the direction of one, though it is none of control.
fn turns(char: char) -> bool {
    matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a text is of printable ASCII alone, as nearly all are.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::{self, MakeWriter};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl io::Write for &Out {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Out {
        type Writer = &'a Self;

        fn make_writer(&'a self) -> Self::Writer {
            self
        }
    }

    /// What `log` writes, by our fields and by the library's own.
    fn both(log: impl Fn()) -> [String; 2] {
        let (ours, theirs) = (Out::default(), Out::default());
        let layer = || fmt::layer().without_time().with_target(false).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(layer().fmt_fields(OneLine).with_writer(ours.clone()));
        tracing::subscriber::with_default(subscriber, &log);
        let subscriber = tracing_subscriber::registry().with(layer().with_writer(theirs.clone()));
        tracing::subscriber::with_default(subscriber, &log);
        [ours, theirs].map(|out| String::from_utf8(out.0.lock().unwrap().clone()).unwrap())
    }

    #[test]
    fn a_line_reads_as_the_library_writes_it() {
        let nobody: Option<&str> = None;
        let [ours, theirs] = both(|| {
            tracing::info!(
                request.id = "7-1", client = %"192.0.2.1", user = Some("ann"), nobody, status = 200, duration_ms = 0.125,
                held = true, offset = -1_i64, what = ?Some("x"), quoted = "a \"b\" \\ c", breaks = "a\nb\u{1b}[2J", word = "größe",
                "pulled {}", 200
            );
        });
        assert_eq!(ours, theirs);
        assert_eq!(ours.lines().count(), 1);
        assert!(ours.contains(r#"pulled 200 request.id="7-1" client=192.0.2.1 user="ann" status=200"#), "{ours}");
    }

    #[test]
    fn nothing_that_is_logged_makes_a_line_of_its_own() {
        let [ours, theirs] =
            both(|| tracing::warn!(error = %"gone\n INFO a lie\r\u{9b}2J\u{7f}\u{2028}\u{202e}", "be\nfore"));
        assert_eq!(theirs.lines().count(), 3, "the library lets line breaks through");
        assert_eq!(ours.lines().count(), 1);
        assert!(ours.chars().all(|char| char == '\n' || !char.is_control() && !turns(char)), "{ours:?}");
    }
}
