//! Arguments, commands, REPL: the only room that prints or exits.
