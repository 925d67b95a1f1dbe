//! Colours of SQL on a terminal.

use crate::cli::repl::lexer::{Class, pieces};

pub const RESET: &str = "\x1b[0m";
pub const DIM: &str = "\x1b[2m";
pub const PROMPT_COLOUR: &str = "\x1b[1m";

fn colour(class: Class) -> Option<&'static str> {
    match class {
        Class::Keyword => Some("\x1b[1;34m"),
        Class::Function => Some("\x1b[36m"),
        Class::Text => Some("\x1b[32m"),
        Class::Quoted => Some("\x1b[33m"),
        Class::Number => Some("\x1b[35m"),
        Class::Comment => Some(DIM),
        Class::Word | Class::Space | Class::Symbol => None,
    }
}

/// The text with colours; it is as wide as without.
pub fn highlighted(text: &str) -> String {
    if text.trim_start().starts_with('\\') {
        return format!("\x1b[33m{text}{RESET}");
    }
    let mut out = String::with_capacity(text.len() * 2);
    for piece in pieces(text) {
        let part = piece.text(text);
        match colour(piece.class) {
            Some(colour) => out.extend([colour, part, RESET]),
            None => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_colours_the_text_is_as_before() {
        let text = "SELECT sum(x) FROM t WHERE a = 'é' -- end";
        let coloured = highlighted(text);
        let mut plain = coloured.clone();
        while let Some(at) = plain.find('\x1b') {
            let end = plain[at..].find('m').unwrap() + at + 1;
            plain.replace_range(at..end, "");
        }
        assert_eq!(plain, text);
        assert!(coloured.contains("\x1b[1;34mSELECT\x1b[0m"));
        assert!(coloured.contains("\x1b[36msum\x1b[0m("));
    }
}
