//! The scenarios that the brains were held against, and the test of each: the table in `docs/brains.md`.
//!
//! A cell that says `yes` is run by the row's tests with that CLI; each other one says why there is nothing to run. The
//! document is compared with the table, and the tests with what the table says of them.

use std::{collections::BTreeMap, fs, path::Path};

use super::ALL;

/// What there is to say of one CLI.
#[derive(Clone, Copy)]
enum Cell {
    Yes,
    /// It cannot come about, or nothing is told of it.
    No(&'static str),
}

use Cell::{No, Yes};

/// What happens; for claude, codex, opencode, gemini; by these tests.
struct Row(&'static str, [Cell; 4], &'static [&'static str]);

const EVERY: [Cell; 4] = [Yes; 4];
const WAITS: Cell = No("waits for it");
const NO_FILE: Cell = No("nothing is");
const NO_TOOL: Cell = No("no such tool");
const UNDATED: Cell = No("no date told");

const ROWS: &[Row] = &[
    Row(
        "an ask is answered, its tokens counted",
        EVERY,
        &["an_ask_is_answered_and_counted"],
    ),
    Row("an act writes a file", EVERY, &["an_act_writes_a_file"]),
    Row(
        "an act runs a command; its work is committed",
        EVERY,
        &[
            "a_contained_act_runs_commands",
            "dispatch::an_act_runs_a_command_and_its_work_is_committed",
        ],
    ),
    Row(
        "git, npm and cargo inside the sandbox",
        EVERY,
        &["dispatch::git_and_toolchains_work_inside_as_the_clis_run_them"],
    ),
    Row(
        "the provider's host alone is allowed",
        EVERY,
        &["dispatch::a_cli_reaches_its_provider_where_that_host_alone_is_named"],
    ),
    Row(
        "prompts of any shape, `@` and `/` among them",
        EVERY,
        &[
            "prompts_of_any_shape_arrive_whole",
            "dispatch::no_prompt_is_a_command_of_the_clis_own",
        ],
    ),
    Row(
        "the answer is all of stdout; reply and the next task go on",
        EVERY,
        &[
            "dispatch::an_answer_is_all_of_stdout_and_the_session_goes_on",
            "a_session_goes_on",
        ],
    ),
    Row("the session is lost", EVERY, &["a_lost_session_is_no_success"]),
    Row(
        "the session is full",
        EVERY,
        &["limits::a_full_session_is_given_up_and_the_next_one_knows_of_it"],
    ),
    Row(
        "`--model` holds for its task",
        EVERY,
        &["limits::a_model_holds_for_its_task_only"],
    ),
    Row(
        "several results in one run",
        [Yes, No("one"), No("one"), No("one")],
        &["limits::a_run_with_several_results_is_counted_once"],
    ),
    Row(
        "a limit with a date",
        [Yes, Yes, UNDATED, Yes],
        &["limits::a_limit_is_waited_for_until_the_reset_told_and_retry_lifts_it"],
    ),
    Row(
        "429 that lasts, 429 twice",
        EVERY,
        &["a_limit_that_lasts_is_told_and_one_that_passes_is_waited_for"],
    ),
    Row(
        "a limit waited for inside stands in the status",
        EVERY,
        &["limits::a_limit_waited_for_inside_stands_in_the_status"],
    ),
    Row(
        "no money, 403",
        EVERY,
        &["limits::no_money_and_no_leave_need_a_person_and_say_what_to_do"],
    ),
    Row(
        "401",
        EVERY,
        &[
            "a_refused_key_ends_soon",
            "dispatch::a_refused_key_is_exit_code_five",
        ],
    ),
    Row(
        "no key at all",
        [Yes, Yes, No("a provider of one's own needs none"), Yes],
        &["no_key_is_an_auth_failure"],
    ),
    Row(
        "nobody answers at the provider's address",
        EVERY,
        &["limits::a_provider_out_of_reach_ends_the_try_and_says_so_meanwhile"],
    ),
    Row(
        "500 that lasts",
        EVERY,
        &["limits::a_provider_whose_errors_last_is_waited_for"],
    ),
    Row("500, 503, 529 twice", EVERY, &["told::what_passes_is_waited_for"]),
    Row(
        "the stream is cut once",
        EVERY,
        &["told::a_stream_that_breaks_off_once_is_no_end"],
    ),
    Row(
        "the stream is cut always",
        [Yes, Yes, No("tries on, as with no network"), Yes],
        &["a_stream_that_breaks_off_always_is_no_success"],
    ),
    Row(
        "404, the limit of output, a withheld answer",
        EVERY,
        &["told::what_was_cut_off_withheld_or_unknown_is_no_success"],
    ),
    Row(
        "the same, told once",
        [
            No("goes on after the limit of output"),
            Yes,
            No("tries once"),
            No("in its telemetry"),
        ],
        &["told::what_did_not_come_to_an_end_is_told_once"],
    ),
    Row(
        "the same, by the telemetry alone",
        [No("in its stream"), No("in its stream"), No("in its stream"), Yes],
        &["told::an_answer_that_was_cut_off_fails_its_task"],
    ),
    Row(
        "what is written beside the stream stays small",
        [NO_FILE, NO_FILE, NO_FILE, Yes],
        &["told::the_telemetry_is_as_large_as_the_document_says"],
    ),
    Row(
        "no text, 1.3 MB, bytes that are no text",
        EVERY,
        &["told::odd_answers_and_outputs_arrive_whole"],
    ),
    Row("an ask that tries to write", EVERY, &["an_ask_cannot_write"]),
    Row(
        "a refused write, then success",
        [Yes, Yes, Yes, No("no command in an ask")],
        &["told::a_refusal_that_success_followed_is_a_remark"],
    ),
    Row(
        "commands without a sandbox need leave",
        [Yes, No("its own sandbox"), Yes, Yes],
        &["outside_a_sandbox_commands_need_leave"],
    ),
    Row(
        "a command that still runs at the end",
        [WAITS, Yes, WAITS, WAITS],
        &["limits::a_command_that_still_runs_at_the_end_is_named"],
    ),
    Row(
        "a question by a tool",
        [Yes, NO_TOOL, NO_TOOL, Yes],
        &["dispatch::a_question_by_a_tool_is_a_question_that_reply_answers"],
    ),
    Row(
        "its runner is killed in a tool: the same session",
        EVERY,
        &[
            "recovery::a_killed_runner_of_claude_goes_on_in_the_same_session",
            "recovery::a_killed_runner_of_the_others_goes_on_in_the_same_session",
        ],
    ),
    Row(
        "it or anything else is killed, and somebody else comes",
        EVERY,
        &["struck::what_is_told_of_a_struck_task_is_what_is_there"],
    ),
];

const BEGIN: &str = "<!-- scenarios -->\n";
const END: &str = "<!-- end of scenarios -->";

fn table() -> String {
    let mut text =
        String::from("| | claude | codex | opencode | gemini | `brains::` |\n|---|---|---|---|---|---|\n");
    for Row(what, cells, tests) in ROWS {
        let cells = cells.map(|cell| match cell {
            Yes => "yes",
            No(why) => why,
        });
        let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
        text.push_str(&format!(
            "| {what} | {} | {} |\n",
            cells.join(" | "),
            tests.join(", ")
        ));
    }
    text
}

/// The bodies of the tests, by module and name.
fn tests() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut found = BTreeMap::new();
    let mut read = |file: &Path, module: &str| {
        let text = fs::read_to_string(file).unwrap();
        for part in text.split("#[test]\n").skip(1) {
            let body = part.split_once("\n}\n").map_or(part, |(body, _)| body);
            let name = body.split_once("fn ").unwrap().1.split('(').next().unwrap();
            found.insert(format!("{module}{name}"), body.to_owned());
        }
    };
    read(&folder.join("brains.rs"), "");
    for entry in fs::read_dir(folder.join("brains")).unwrap().flatten() {
        let path = entry.path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        read(&path, &format!("{module}::"));
    }
    found
}

/// The CLIs that a test runs: all, or those that it names.
fn run_by(body: &str) -> Vec<&'static str> {
    let all = ["each(", "each_name(", "Strike::of"]
        .iter()
        .any(|word| body.contains(word));
    let named = |name: &&str| all || body.contains(&format!("\"{name}\""));
    ALL.into_iter().filter(named).collect()
}

#[test]
fn every_scenario_has_its_test_with_every_cli_that_it_concerns() {
    let tests = tests();
    let mut wrong = Vec::new();
    for Row(what, cells, named) in ROWS {
        let bodies = named.iter().map(|name| {
            let body = tests.get(*name);
            body.unwrap_or_else(|| panic!("{what}: there is no test {name}"))
        });
        let run: Vec<_> = bodies.flat_map(|body| run_by(body)).collect();
        for (name, cell) in ALL.iter().zip(cells) {
            if run.contains(name) != matches!(cell, Yes) {
                wrong.push(format!("{what}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let held = |name: &&String| ROWS.iter().any(|row| row.2.contains(&name.as_str()));
    let own = |name: &&String| !name.starts_with("installed::") && !name.starts_with("table::");
    let missing: Vec<_> = tests.keys().filter(own).filter(|name| !held(name)).collect();
    let alone =
        ["recovery::a_session_that_the_cli_has_lost_is_told_anew_with_what_is_done_in_doubt_and_others"];
    assert_eq!(missing, alone, "tests that stand in no row");
}

#[test]
fn the_table_in_the_document_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/brains.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (found, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("KHLONE_BLESS").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{}{END}{tail}", table())).unwrap();
        return;
    }
    assert_eq!(found, table(), "KHLONE_BLESS=1 writes it");
}
