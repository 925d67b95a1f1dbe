//! The house rules as a test: reads every source and text file of the repository and reports what
//! breaks a rule. Every rule has a canary below: a snippet that must be caught, so that a rule
//! that went blind is noticed.

mod lexer;
mod rule;

use std::fs;
use std::path::Path;

use lexer::SourceFile;
use rule::{Glossary, Problem, Rooms, Tests};

const SKIPPED_DIRECTORIES: [&str; 5] = ["target", ".git", ".services", ".skewless", "__pycache__"];
const TEXT_ENDINGS: [&str; 10] =
    ["rs", "md", "toml", "sql", "slt", "sh", "py", "yml", "json", "gitignore"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file below `directory`, path relative to the repository with `/`, sorted.
fn read_all(directory: &Path, out: &mut Vec<SourceFile>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if !SKIPPED_DIRECTORIES.contains(&name.as_str()) {
                read_all(&path, out);
            }
            continue;
        }
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let script = !name.contains('.') && name != "LICENSE";
        if !script && !TEXT_ENDINGS.contains(&ending) {
            continue;
        }
        let relative = path.strip_prefix(repository()).unwrap().to_string_lossy();
        // What is not text, such as a program that was built here, has no rules to keep.
        let Ok(text) = String::from_utf8(fs::read(&path).unwrap()) else { continue };
        out.push(SourceFile::new(relative.replace('\\', "/"), text));
    }
}

fn check(file: &SourceFile, rooms: &Rooms, glossary: &Glossary, out: &mut Vec<Problem>) {
    rule::absolute_paths(file, out);
    rule::file_name(file, out);
    glossary.check(file, out);
    if !file.path.ends_with(".rs") {
        return;
    }
    rule::opening_doc(file, out);
    rule::line_length(file, out);
    rule::file_length(file, out);
    rule::function_length(file, out);
    rule::unfinished(file, out);
    rule::allow_without_reason(file, out);
    rule::door_table(file, out);
    rule::sleep_in_tests(file, out);
    rooms.check(file, out);
}

#[test]
fn every_file_keeps_the_rules_of_the_house() {
    let mut files = Vec::new();
    read_all(repository(), &mut files);
    let tests: Vec<String> = files.iter().flat_map(SourceFile::test_modules).collect();
    files.iter_mut().filter(|f| tests.contains(&f.path)).for_each(SourceFile::mark_test);
    let find = |path: &str| files.iter().find(|f| f.path == path).map_or("", |f| f.text.as_str());
    let rooms = Rooms::read(find("src/lib.rs"));
    let glossary = Glossary::read(find("docs/glossary.md"));
    let promised = Tests::read(&files);
    let mut problems = Vec::new();
    for file in &files {
        check(file, &rooms, &glossary, &mut problems);
        promised.check_promises(file, &mut problems);
    }
    assert!(files.iter().any(|f| f.path == "docs/guarantees.md"), "the promises are gone");
    let count = problems.len();
    let list: String = problems.iter().map(|p| format!("\n  {p}")).collect();
    assert!(count == 0, "{count} problems:{list}");
    assert!(files.iter().filter(|f| f.path.ends_with(".rs")).count() > 30, "files were missed");
}

/// What the rules say about one made-up file.
fn verdict(path: &str, text: &str) -> String {
    let rooms = Rooms::read("pub mod error;\npub mod plan;\npub mod operator;\npub mod cli;\n");
    let glossary =
        Glossary::read("| word | means | never |\n|---|---|---|\n| delay | x | grace |\n");
    let mut problems = Vec::new();
    check(&SourceFile::new(path.into(), text.into()), &rooms, &glossary, &mut problems);
    problems.iter().map(|p| format!("{p}\n")).collect()
}

fn catches(path: &str, text: &str, expected: &str) {
    let verdict = verdict(path, text);
    assert!(verdict.contains(expected), "expected `{expected}`, the rules said: {verdict:?}");
}

fn accepts(path: &str, text: &str) {
    assert_eq!(verdict(path, text), "", "{text}");
}

#[test]
fn canary_import_from_a_higher_room_is_caught() {
    let bad = "//! Doc.\nuse crate::operator::operator::Operator;\n";
    catches("src/plan/check.rs", bad, "room `plan` may not use `operator`");
    catches("src/plan/check.rs", "//! Doc.\nuse crate::{error, cli::x};\n", "may not use `cli`");
    catches("src/plan/check.rs", "//! D.\nfn f() { crate::cli::args() }\n", "may not use `cli`");
    catches("src/plan/check.rs", "//! D.\nuse super::super::cli;\n", "climbs out of the room");
}

#[test]
fn canary_import_from_a_lower_room_or_in_a_test_is_accepted() {
    accepts("src/operator/x.rs", "//! D.\nuse crate::plan::y;\nuse crate::error::{A, B};\n");
    accepts(
        "src/plan/x.rs",
        "//! D.\n// crate::cli in words\n#[cfg(test)]\nmod tests {\n    use crate::cli::y;\n}\n",
    );
    accepts("src/plan/x/tests.rs", "//! D.\nuse crate::cli::y;\n");
    accepts("src/plan/x.rs", "//! D.\nconst TEXT: &str = \"crate::cli::y\";\n");
}

#[test]
fn canary_sizes_are_caught() {
    let long_file = format!("//! D.\n{}", "// x\n".repeat(600));
    catches("src/plan/x.rs", &long_file, "601 lines, at most 600");
    let long_function = format!("//! D.\nfn f() {{\n{}}}\n", "    g();\n".repeat(70));
    catches("src/plan/x.rs", &long_function, "function `f` has 72 lines, at most 70");
    let long_line = format!("//! D.\n// {}\n", "x".repeat(98));
    catches("src/plan/x.rs", &long_line, "101 characters, at most 100");
    let table = format!("//! D.\nfn f() {{\n    g([\n{}    ])\n}}\n", "1,\n".repeat(80));
    catches("src/plan/x.rs", &table, "function `f` has 84 lines");
    accepts("src/plan/x/tests.rs", &table);
    let message = format!("//! D.\nconst M: &str = \"{}\";\n", "x".repeat(98));
    catches("src/plan/x.rs", &message, "at most 100");
    accepts("src/plan/x/tests.rs", &message);
    let braces =
        format!("//! D.\nfn f() {{\n    g('{{', \"{{\", r#\"{{\"#);\n}}\n{}", "// x\n".repeat(90));
    accepts("src/plan/x.rs", &braces);
}

#[test]
fn canary_missing_doc_and_unfinished_code_are_caught() {
    catches("src/plan/x.rs", "use std::fmt;\n", "must open with `//!`");
    catches("src/plan/x.rs", "//! D.\nfn f() { todo!() }\n", "`todo!`");
    catches("src/plan/x.rs", "//! D.\nfn f() { dbg!(1); }\n", "`dbg!`");
    catches("src/plan/x.rs", "//! D.\nfn f() { unimplemented!() }\n", "`unimplemented!`");
    accepts("src/plan/x.rs", "//! D.\n// never todo!() here\n");
    catches("src/plan/x.rs", "//! D.\n#[allow(dead_code)]\nfn f() {}\n", "`#[expect(");
}

#[test]
fn canary_names_words_and_paths_are_caught() {
    catches("src/plan/utils.rs", "//! D.\n", "is no noun");
    catches("src/plan/x.rs", "//! The grace of a source.\n", "say `delay`");
    catches("docs/x.md", "a grace_period\n", "say `delay`");
    catches("docs/x.md", concat!("see /ro", "ot/.cargo\n"), "absolute path");
    catches("src/plan/mod.rs", "//! D.\npub mod check;\n", "table has no line for `check`");
    accepts("src/plan/mod.rs", "//! D.\n//! | `check` | what may run |\npub mod check;\n");
}

#[test]
fn canary_sleeping_test_is_caught() {
    let sleeping = "//! D.\nfn f() { std::thread::sleep(d) }\n";
    catches("tests/it/x.rs", sleeping, "poll with a deadline");
    catches("src/plan/x/tests.rs", sleeping, "poll with a deadline");
    accepts("tests/it/poll.rs", sleeping);
    accepts("src/plan/x.rs", sleeping);
}

#[test]
fn canary_promises_without_a_test_are_caught() {
    let source = "//! D.\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn it_holds() {}\n\
                  fn no_test() {}\n}\n";
    let tests = Tests::read([&SourceFile::new("src/plan/x.rs".into(), source.into())]);
    let verdict = |row: &str| {
        let text = format!("| promise | test |\n|---|---|\n| it holds | {row} | 1 |\n");
        let mut problems = Vec::new();
        let file = SourceFile::new("docs/guarantees.md".into(), text);
        tests.check_promises(&file, &mut problems);
        problems.iter().map(|p| format!("{p}\n")).collect::<String>()
    };
    assert_eq!(verdict("`plan::x::tests::it_holds`"), "");
    assert!(verdict("`plan::x::tests::no_test`").contains("no test `plan::x::tests::no_test`"));
    assert!(verdict("`plan::x::tests::it_holds`, `plan::y::it_holds`").contains("`plan::y::"));
    assert!(verdict("by design").contains("a promise without a test"));
}
