//! Bearer tokens: who may read, who may change definitions. Must never print, log or store a
//! token, and compares them in a time that does not depend on where they differ.

use std::fmt;
use std::hint::black_box;
use std::path::Path;

use crate::error::{Error, Result};

/// The shortest token accepted: 128 bits as hexadecimal digits are 32 characters, as base64 22.
const TOKEN_BYTES_MIN: usize = 16;
const TOKEN_BYTES_MAX: usize = 4_096;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Values, status, metrics, queries.
    Read,
    /// Definitions. Includes reading.
    Admin,
}

/// The verdict about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// No token, or one that nobody gave out.
    Unknown,
    /// A token that may less than this.
    TooWeak,
}

/// The tokens of a server; none at all = everybody may do everything.
#[derive(Clone, Default)]
pub struct Tokens {
    read: Vec<String>,
    admin: Vec<String>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens(read: {}, admin: {})", self.read.len(), self.admin.len())
    }
}

impl Tokens {
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.admin.is_empty()
    }

    /// Adds the tokens of a text, one per line; `#` begins a comment line. `what` names the text
    /// in errors.
    pub fn add(&mut self, right: Right, what: &str, text: &str) -> Result<()> {
        let before = self.read.len() + self.admin.len();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let fits = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&line.len());
            if !fits || !line.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(Error::usage(format!(
                    "{what}: a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable \
                     characters without spaces"
                ))
                .with_hint("make one: openssl rand -hex 32"));
            }
            match right {
                Right::Read => self.read.push(line.to_owned()),
                Right::Admin => self.admin.push(line.to_owned()),
            }
        }
        if self.read.len() + self.admin.len() == before {
            return Err(Error::usage(format!("{what} holds no token"))
                .with_hint("make one: openssl rand -hex 32"));
        }
        Ok(())
    }

    /// Adds the tokens of a file.
    pub fn add_file(&mut self, right: Right, path: &Path) -> Result<()> {
        let what = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::usage(format!("cannot read the tokens in {what}: {e}")))?;
        self.add(right, &what, &text)
    }

    /// Whether an `authorization` header gives a right.
    pub fn judge(&self, authorization: Option<&str>, needed: Right) -> Verdict {
        if self.is_empty() {
            return Verdict::Allowed;
        }
        let token = authorization.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token else { return Verdict::Unknown };
        // Every token is looked at, whatever the others said.
        let known = |tokens: &[String]| {
            tokens.iter().fold(false, |found, known| found | equal(known, token))
        };
        let (admin, read) = (known(&self.admin), known(&self.read));
        match (needed, admin, read) {
            (_, true, _) | (Right::Read, _, true) => Verdict::Allowed,
            (Right::Admin, false, true) => Verdict::TooWeak,
            (_, false, false) => Verdict::Unknown,
        }
    }
}

/// Compares all bytes, also behind the first difference. Only the length can be told by time.
fn equal(a: &str, b: &str) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let different = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
    different == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "read-0123456789abcdef";
    const ADMIN: &str = "admin-0123456789abcdef";

    fn tokens() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.add(Right::Read, "a", &format!("# for the model\n\n {READ} \n")).unwrap();
        tokens.add(Right::Admin, "b", ADMIN).unwrap();
        tokens
    }

    #[test]
    fn a_token_gives_its_right_and_no_more() {
        let bearer = |token: &str| format!("Bearer {token}");
        let judge = |text: &str, right| tokens().judge(Some(text), right);
        assert_eq!(judge(&bearer(READ), Right::Read), Verdict::Allowed);
        assert_eq!(judge(&bearer(READ), Right::Admin), Verdict::TooWeak);
        assert_eq!(judge(&bearer(ADMIN), Right::Read), Verdict::Allowed);
        assert_eq!(judge(&format!("bEARER  {ADMIN}"), Right::Admin), Verdict::Allowed);
        for wrong in ["", "Bearer", "Bearer ", READ, &bearer(&READ[1..]), "Basic dTpw"] {
            assert_eq!(judge(wrong, Right::Read), Verdict::Unknown, "{wrong}");
        }
        assert_eq!(tokens().judge(None, Right::Read), Verdict::Unknown);
        assert_eq!(Tokens::default().judge(None, Right::Admin), Verdict::Allowed);
    }

    #[test]
    fn short_and_missing_tokens_are_refused_and_none_is_ever_shown() {
        for text in ["", "# only a comment\n", "short", "with a space in the middle"] {
            let error = Tokens::default().add(Right::Read, "tokens.txt", text).unwrap_err();
            assert!(error.message().contains("tokens.txt"), "{error}");
            assert!(!error.message().contains("short"), "{error}");
        }
        assert_eq!(format!("{:?}", tokens()), "Tokens(read: 1, admin: 1)");
    }
}
