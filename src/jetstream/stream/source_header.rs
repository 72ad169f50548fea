//! `Nats-Stream-Source`: where a sourced message comes from.

/// What stands between several filters, and between several destinations.
const BETWEEN: &[u8] = b"\x0c";

/// `<stream> <sequence> <filters> <destinations> <subject> <identity>`; a stream of elsewhere is
/// `<stream>:<hash of its prefix>`. The last two are missing in messages of old servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceHeader<'a> {
    pub stream: &'a [u8],
    pub sequence: u64,
    pub filters: &'a [u8],
    pub destinations: &'a [u8],
    /// The subject at the origin.
    pub subject: &'a [u8],
    /// The origin's identity, which a stream made anew under the same name does not have.
    pub identity: &'a [u8],
}

impl<'a> SourceHeader<'a> {
    /// Reads the value of the header.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b' ');
        let stream = parts.next().filter(|name| !name.is_empty())?;
        let digits = std::str::from_utf8(parts.next()?).ok()?;
        Some(Self {
            stream,
            sequence: digits.parse().ok()?,
            filters: parts.next()?,
            destinations: parts.next()?,
            subject: parts.next().unwrap_or_default(),
            identity: parts.next().unwrap_or_default(),
        })
    }

    /// What tells the sources of a stream apart.
    pub fn key(&self) -> Vec<u8> {
        key(self.stream, self.filters, self.destinations)
    }

    /// Appends the value.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.stream);
        out.push(b' ');
        crate::protocol::number::push_decimal(out, self.sequence as usize);
        for part in [self.filters, self.destinations, self.subject, self.identity] {
            if !part.is_empty() {
                out.push(b' ');
                out.extend_from_slice(part);
            }
        }
    }
}

/// The key of a source, from the first parts of its header.
pub fn key(stream: &[u8], filters: &[u8], destinations: &[u8]) -> Vec<u8> {
    [stream, filters, destinations].join(&b' ')
}

/// Filters or destinations as one part of the header; an empty one stands as `>`.
pub fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, part) in parts.enumerate() {
        if number > 0 {
            out.extend_from_slice(BETWEEN);
        }
        out.extend_from_slice(if part.is_empty() {
            b">"
        } else {
            part.as_bytes()
        });
    }
    if out.is_empty() {
        out.push(b'>');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from nats-server 2.15.1.
    #[test]
    fn headers_are_those_of_nats_server() {
        let value = b"OR 4 o.2\x0co.7 w.two\x0c> o.7 PaJnOigT";
        let header = SourceHeader::parse(value).unwrap();
        assert_eq!((header.stream, header.sequence), (&b"OR"[..], 4));
        assert_eq!(header.filters, joined(["o.2", "o.7"].into_iter()));
        assert_eq!(header.destinations, joined(["w.two", ""].into_iter()));
        assert_eq!(
            (header.subject, header.identity),
            (&b"o.7"[..], &b"PaJnOigT"[..])
        );
        let mut out = Vec::new();
        header.push(&mut out);
        assert_eq!(out, value);
        assert_eq!(joined([].into_iter()), b">");
        let old = SourceHeader::parse(b"OR 4 > >").unwrap();
        assert_eq!(old.key(), b"OR > >");
        for bad in [&b""[..], b"OR", b"OR x > >", b" 4 > >", b"5"] {
            assert_eq!(SourceHeader::parse(bad), None);
        }
    }
}
