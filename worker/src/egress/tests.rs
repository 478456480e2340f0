use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn status(status: u16) -> Error {
    Error::Status {
        origin: "http://hub".to_owned(),
        status,
        excerpt: String::new(),
    }
}

#[test]
fn only_what_may_change_by_itself_is_tried_again() {
    for code in [301, 400, 401, 403, 404, 409, 422] {
        assert!(status(code).is_permanent(), "{code}");
    }
    for code in [408, 425, 429, 500, 502, 503, 504] {
        assert!(!status(code).is_permanent(), "{code}");
    }
}

#[test]
fn a_refusal_does_not_repeat_the_key() {
    let key: Secret = "sk-canary".parse().unwrap();
    let shown = excerpt(b"{\"error\": \"bad key sk-canary\"}", &[key]);
    assert_eq!(shown, "{\"error\": \"bad key \u{2026}\"}");
}

#[test]
fn a_path_is_joined_to_a_base_with_and_without_a_slash() {
    let expected = "http://hub:8000/api/progress/";
    assert_eq!(
        endpoint(&url("http://hub:8000/api"), "/progress/").as_str(),
        expected
    );
    assert_eq!(
        endpoint(&url("http://hub:8000/api/"), "progress/").as_str(),
        expected
    );
    assert_eq!(
        endpoint(&url("http://hub:8000"), "progress/").as_str(),
        "http://hub:8000/progress/"
    );
}

fn egress(allowed: &str) -> Egress {
    runtime::install_cryptography();
    let allowed = AllowList::new(allowed.parse().unwrap(), &[]);
    Egress::new(allowed).unwrap()
}

/// Serves one connection with these bytes, and returns where.
async fn serve_once(answer: Vec<u8>) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = connection.read(&mut request).await;
        // The other side may hang up before all is said.
        let _ = connection.write_all(&answer).await;
    });
    url(&format!("http://{address}/secret-path"))
}

async fn get(answer: Vec<u8>) -> Result<Answer, Error> {
    let url = serve_once(answer).await;
    egress("127.0.0.1")
        .send(Call::get(url, Duration::from_secs(10)))
        .await
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_named_and_not_called() {
    let call = Call::get(
        url("http://127.0.0.1:1/secret-path"),
        Duration::from_secs(1),
    );
    let refused = egress("example.org").send(call).await.unwrap_err();
    assert!(refused.is_permanent());
    assert_eq!(
        refused.to_string(),
        "http://127.0.0.1:1 is not an allowed host; add it to EGRESS_ALLOWED_HOSTS"
    );
}

#[tokio::test]
async fn a_redirect_is_a_refusal() {
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\
                     content-length: 0\r\nconnection: close\r\n\r\n";
    let refused = get(redirect.to_vec()).await.unwrap_err();
    assert!(
        matches!(refused, Error::Status { status: 302, .. }),
        "{refused}"
    );
    assert!(refused.is_permanent());
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_the_end() {
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.resize(MAXIMUM_ANSWER_BYTES + 10_000, b'x');
    let refused = get(endless).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
}

#[tokio::test]
async fn an_error_does_not_show_the_path() {
    let refused = get(b"nonsense".to_vec()).await.unwrap_err();
    let text = runtime::describe(&refused);
    assert!(!text.contains("secret-path"), "{text}");
    assert!(!refused.is_permanent());
}
