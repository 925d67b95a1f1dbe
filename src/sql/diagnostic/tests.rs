//! How errors look.

use super::*;

fn shown(text: &str, start: (u64, u64), end: (u64, u64)) -> String {
    render(&Error::usage("wrong").with_span(Span { start, end }).with_hint("right"), text)
}

#[test]
fn the_line_and_a_caret_under_the_place_are_shown() {
    assert_eq!(
        shown("SELECT\n  SUM(amont) OVER w\nFROM t", (2, 7), (2, 12)),
        "error: wrong\n  --> 2:7\n   |\n\
         \x202 |   SUM(amont) OVER w\n   |       ^^^^^\n   = hint: right\n"
    );
    assert_eq!(render(&Error::usage("wrong"), "x"), "error: wrong\n");
}

#[test]
fn tabs_and_wide_characters_do_not_move_the_caret() {
    let caret = |text: &str, start: u64, end: u64| {
        let shown = shown(text, (1, start), (1, end));
        let line = shown.lines().nth(4).unwrap().to_owned();
        line.trim_start_matches("   | ").to_owned()
    };
    assert_eq!(caret("\tab", 2, 4), "    ^^");
    assert_eq!(caret("名前 x", 4, 5), "     ^");
    assert_eq!(caret("名前 x", 1, 3), "^^^^");
    assert_eq!(caret("e\u{301} x", 4, 5), "  ^");
    assert_eq!(caret("ab", 3, 4), "  ^");
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text = format!("{}BAD{}", "a".repeat(5_000), "b".repeat(5_000));
    let out = shown(&text, (1, 5_001), (1, 5_004));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[3].chars().count() < 180, "{}", lines[3]);
    let at = lines[4].find('^').unwrap();
    let column = lines[3].chars().skip(at).take(3).collect::<String>();
    assert_eq!(column, "BAD");
}

#[test]
fn places_beyond_the_text_and_over_several_lines_do_no_harm() {
    for (start, end) in [((9, 9), (9, 10)), ((1, 99), (1, 100)), ((1, 1), (3, 2)), ((0, 0), (0, 0))]
    {
        assert!(shown("a\nb\nc", start, end).starts_with("error: wrong\n"));
    }
    assert!(!shown("a\u{202e}\u{1b}[31mb", (1, 1), (1, 2)).contains('\u{1b}'));
}

#[test]
fn near_words_are_suggested_and_far_ones_listed() {
    assert_eq!(closest("amont", ["amount", "count"]), Some("amount"));
    assert_eq!(closest("xyz", ["amount", "count"]), None);
    assert_eq!(suggestion("amont", ["amount"]).unwrap(), "did you mean 'amount'?");
    assert_eq!(suggestion("zzz", ["amount", "b"]).unwrap(), "there is: amount, b");
    assert_eq!(suggestion("zzz", []), None);
    assert_eq!(quoted(&"é".repeat(100)).chars().count(), 63);
}
