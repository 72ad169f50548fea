//! A client's view of the bytes it gets: a small parser of its own.

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Info,
    Ping,
    Pong,
    Err(String),
    Message {
        subject: String,
        sid: usize,
        reply: Option<String>,
        header: Vec<u8>,
        payload: Vec<u8>,
    },
}

/// Cuts what was read into what was sent.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Adds bytes that were read.
    pub fn feed(&mut self, bytes: impl Iterator<Item = u8>) {
        self.buffer.extend(bytes);
    }

    /// What was read completely; bytes that mean nothing are an error.
    pub fn drain(&mut self) -> Result<Vec<Received>, String> {
        let mut all = Vec::new();
        let mut at = 0;
        while let Some((received, used)) = decode(&self.buffer[at..])? {
            all.push(received);
            at += used;
        }
        self.buffer.drain(..at);
        Ok(all)
    }
}

fn decode(bytes: &[u8]) -> Result<Option<(Received, usize)>, String> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let body = end + 2;
    let simple = |received| Ok(Some((received, body)));
    let fields: Vec<&str> = line.split(' ').collect();
    match fields[..] {
        ["PING"] => simple(Received::Ping),
        ["PONG"] => simple(Received::Pong),
        ["INFO", ..] => simple(Received::Info),
        ["-ERR", ..] => simple(Received::Err(line.to_owned())),
        ["MSG", subject, sid, size] => message(bytes, body, subject, sid, None, "0", size),
        ["MSG", subject, sid, reply, size] => {
            message(bytes, body, subject, sid, Some(reply), "0", size)
        }
        ["HMSG", subject, sid, header, size] => {
            message(bytes, body, subject, sid, None, header, size)
        }
        ["HMSG", subject, sid, reply, header, size] => {
            message(bytes, body, subject, sid, Some(reply), header, size)
        }
        _ => Err(format!("a line that means nothing: {line:?}")),
    }
}

fn message(
    bytes: &[u8],
    at: usize,
    subject: &str,
    sid: &str,
    reply: Option<&str>,
    header: &str,
    size: &str,
) -> Result<Option<(Received, usize)>, String> {
    let number = |text: &str| {
        text.parse::<usize>()
            .map_err(|_| format!("no number: {text:?}"))
    };
    let (sid, header, size) = (number(sid)?, number(header)?, number(size)?);
    if header > size {
        return Err(format!("{header} bytes of headers in {size}"));
    }
    let Some(body) = bytes.get(at..at + size + 2) else {
        return Ok(None);
    };
    if &body[size..] != b"\r\n" {
        return Err(format!("no line end after {size} bytes of {subject}"));
    }
    let received = Received::Message {
        subject: subject.to_owned(),
        sid,
        reply: reply.map(str::to_owned),
        header: body[..header].to_vec(),
        payload: body[header..size].to_vec(),
    };
    Ok(Some((received, at + size + 2)))
}
