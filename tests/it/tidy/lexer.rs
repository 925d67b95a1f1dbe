//! Just enough of Rust's lexis to tell code from comments, literals and test modules. Used by the
//! rules of `tidy` only.

/// A file as the rules see it.
pub struct SourceFile {
    /// Relative to the repository, with `/`.
    pub path: String,
    pub text: String,
    /// `text` of a Rust file with comments and the insides of literals as spaces; the lines and
    /// columns are those of `text`.
    pub code: String,
    /// `code` with the modules under `#[cfg(test)]` as spaces too.
    pub shipped: String,
    /// The whole file is tests.
    pub is_test: bool,
}

impl SourceFile {
    pub fn new(path: String, text: String) -> Self {
        let code = if path.ends_with(".rs") { blank(&text) } else { String::new() };
        let is_test = is_test_file(&path);
        let shipped = if is_test { String::new() } else { without_tests(&code) };
        Self { path, text, code, shipped, is_test }
    }

    /// Somebody declares it under `#[cfg(test)]`.
    pub fn mark_test(&mut self) {
        self.is_test = true;
        self.shipped.clear();
    }

    /// Paths of the modules that this file declares under `#[cfg(test)]`.
    pub fn test_modules(&self) -> Vec<String> {
        let directory = match self.path.strip_suffix("/mod.rs") {
            Some(room) => room.to_owned(),
            None => self.path.trim_end_matches(".rs").to_owned(),
        };
        let declared = self.code.split("#[cfg(test)]").skip(1).filter_map(|rest| {
            let rest = rest.trim_start();
            let rest = rest.strip_prefix("pub ").unwrap_or(rest);
            let rest = rest.strip_prefix("pub(crate) ").unwrap_or(rest);
            let (name, _) = rest.strip_prefix("mod ")?.split_once(';')?;
            (!name.contains('{')).then(|| format!("{directory}/{name}.rs"))
        });
        declared.collect()
    }

    /// Whether the line in which byte `at` stands is part of tests.
    pub fn in_tests(&self, at: usize) -> bool {
        let lines = |text: &str| {
            let from = text.get(..at)?.rfind('\n').map_or(0, |n| n + 1);
            let length = text.get(at..)?.find('\n').unwrap_or(text.len() - at);
            Some(text.get(from..at + length)?.trim().is_empty())
        };
        self.is_test || (lines(&self.shipped) == Some(true) && lines(&self.code) != Some(true))
    }
}

/// Files that hold tests only.
fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.starts_with("benches/")
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
}

/// The line (from 1) in which byte `at` of `text` stands.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1
}

/// The end (exclusive) of the block that opens with the brace at `open`, in blanked code.
pub fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for (at, found) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at + found.len()..];
        let stop = rest.find([';', '{']).unwrap_or(rest.len());
        let open = at + found.len() + stop;
        let declared = rest[stop..].starts_with(';');
        let end = if declared { open + 1 } else { block_end(code, open) };
        spaces(&mut out[at..end]);
    }
    String::from_utf8(out).unwrap()
}

fn spaces(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|b| **b != b'\n') {
        *byte = b' ';
    }
}

fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !after_word(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            b'\'' => char_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            at += 1;
        } else {
            spaces(&mut out[at..end]);
            at = end;
        }
    }
    String::from_utf8(out).unwrap()
}

/// Whether the byte before `at` continues a word, except for the `b` of a byte string.
fn after_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match at.checked_sub(1).map(|i| bytes[i]) {
        Some(b'b') => at >= 2 && is_word(bytes[at - 2]),
        Some(byte) => is_word(byte),
        None => false,
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..].iter().take_while(|b| **b == b'#').count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let length = bytes[open + 1..].windows(close.len()).position(|w| w == close);
    Some(length.map_or(bytes.len(), |n| open + 1 + n + close.len()))
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start + 1..];
    if rest.first() == Some(&b'\\') {
        let close = rest.iter().skip(2).position(|b| *b == b'\'')?;
        return Some(start + 1 + 2 + close + 1);
    }
    let text = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
    let width = text.chars().next()?.len_utf8();
    (rest.get(width) == Some(&b'\'')).then_some(start + 1 + width + 1)
}
