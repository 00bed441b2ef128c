//! What is made of a brain's words, whichever brain it is.

use std::path::Path;

use super::{
    super::{Event, Session, find},
    id_in, read,
};

#[test]
fn paths_are_told_from_the_folder_that_it_works_in() {
    let session = id_in("", "");
    let mut codex = find(&"codex".parse().unwrap())
        .unwrap()
        .translator(&session)
        .within(Path::new("/w/t"));
    let change = |path: &str| {
        let line = serde_json::json!({"type": "item.started", "item": {"id": "1", "type": "file_change",
            "changes": [{"path": path, "kind": "add"}], "status": "in_progress"}});
        serde_json::to_vec(&line).unwrap()
    };
    let mut told = |path: &str| match codex.line(&change(path)).remove(0) {
        Event::ToolCall { paths, .. } => paths[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told("/w/t/a/b.txt"), "a/b.txt");
    for other in ["/w/tt/b.txt", "/w/t", "a.txt", "/w/t/../x"] {
        let shown = if other.starts_with("/w/t/") { "../x" } else { other };
        assert_eq!(told(other), shown);
    }
}

#[test]
fn a_question_by_a_tool_is_no_refusal() {
    let asked = serde_json::json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "1",
        "name": "AskUserQuestion", "input": {"questions": [{"question": "Which?", "options": [{"label": "A"}, {"label": "B"}]},
        {"question": "And when?"}, {"options": 3}]}}]}}).to_string();
    let denied =
        r#"{"type":"system","subtype":"permission_denied","tool_use_id":"1","tool_name":"AskUserQuestion"}"#;
    let end = r#"{"type":"result","subtype":"success","is_error":false,"result":"I need to know.",
        "permission_denials":[{"tool_name":"AskUserQuestion","tool_use_id":"1"}]}"#
        .replace('\n', " ");
    let session = Session::New("s".to_owned());
    let verdict = read("claude", &session, &[&asked, denied, &end]).verdict();
    assert_eq!(verdict.question.as_deref(), Some("Which? (A | B) And when?"));
    assert_eq!(
        (verdict.denials, verdict.last_denied, verdict.result),
        (0, false, Some(true))
    );
    // One that was answered is none.
    let answered =
        r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"1","content":"A"}]}}"#;
    assert_eq!(
        read("claude", &session, &[&asked, answered, &end])
            .verdict()
            .question,
        None
    );
    // Odd arguments lose no line.
    let odd = asked.replace("\"questions\":[", "\"questions\":7,\"old\":[");
    assert_eq!(read("claude", &session, &[&odd]).verdict().calls, 1);
}
