//! A real browser: headless Chromium, driven by the W3C's WebDriver protocol through chromedriver.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use testkit::wait::Seen;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::place::PATIENCE;

/// How the browser shows pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// The width of the window, in pixels.
    pub(super) width: u32,
    /// The height of the window, in pixels.
    pub(super) height: u32,
    /// Whether the person prefers dark colours.
    pub(super) dark: bool,
    /// Whether scripts run.
    pub(super) scripts: bool,
}

/// A desktop's window.
pub(super) const DESKTOP: Look = Look {
    width: 1280,
    height: 1000,
    dark: false,
    scripts: true,
};

/// A browser with one window. Dropping it ends its processes.
pub(super) struct Browser {
    client: Client,
    session: String,
    // Held so that it lives as long as the session.
    _driver: Child,
}

/// How often chromedriver is started before it counts as unable to.
const START_ATTEMPTS: usize = 3;

/// The key of an element in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    /// Starts chromedriver and a browser. Both must be there: a page that nobody looked at is not
    /// tested.
    pub(super) async fn start(look: Look) -> Result<Self> {
        let (driver, port) = chromedriver().await?;
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build()?;
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = ask(client.post(&url).json(&capabilities(look))).await?;
        let id = answer["sessionId"].as_str().context("no session")?;
        let browser = Self {
            session: format!("{url}/{id}"),
            client,
            _driver: driver,
        };
        browser.look(look).await?;
        Ok(browser)
    }

    /// Shows pages otherwise from now on.
    pub(super) async fn look(&self, look: Look) -> Result<()> {
        let scheme = if look.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tool("Emulation.setEmulatedMedia", media).await?;
        let size = json!({"width": look.width, "height": look.height,
                          "deviceScaleFactor": 1, "mobile": false});
        self.tool("Emulation.setDeviceMetricsOverride", size)
            .await?;
        let scripts = json!({"value": !look.scripts});
        self.tool("Emulation.setScriptExecutionDisabled", scripts)
            .await?;
        Ok(())
    }

    /// Opens a page.
    pub(super) async fn open(&self, url: &str) -> Result<()> {
        self.post("url", json!({"url": url})).await?;
        Ok(())
    }

    /// Clicks on the first element that fits, which leads to another page, and waits until the
    /// page that it is on is gone: a click returns before the next one is asked for.
    pub(super) async fn follow(&self, selector: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.post(&format!("element/{element}/click"), json!({}))
            .await?;
        let gone = testkit::wait::until(format!("{selector} to lead on"), PATIENCE, || async {
            let name = self.client.get(self.at(&format!("element/{element}/name")));
            let status = name.send().await?.status();
            Ok::<_, reqwest::Error>(status == StatusCode::NOT_FOUND)
        });
        Ok(gone.await?)
    }

    /// Waits until it is there.
    pub(super) async fn arrives(&self, url: &str) -> Result<()> {
        let arrived = testkit::wait::until(format!("the page {url}"), PATIENCE, || async {
            let found = self.text("url").await?;
            Ok::<_, anyhow::Error>(if found == url {
                Seen::Done(())
            } else {
                Seen::not_yet(found)
            })
        });
        Ok(arrived.await?)
    }

    /// The page's title.
    pub(super) async fn title(&self) -> Result<String> {
        self.text("title").await
    }

    /// The text that people see of the first element that fits.
    pub(super) async fn seen(&self, selector: &str) -> Result<String> {
        let element = self.find(selector).await?;
        self.text(&format!("element/{element}/text")).await
    }

    /// What a screen reader calls the first element that fits, and what it is to it.
    pub(super) async fn heard(&self, selector: &str) -> Result<(String, String)> {
        let element = self.find(selector).await?;
        let role = self
            .text(&format!("element/{element}/computedrole"))
            .await?;
        let label = self
            .text(&format!("element/{element}/computedlabel"))
            .await?;
        Ok((role, label))
    }

    /// Clicks on the first element that fits, which leads nowhere else.
    pub(super) async fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.post(&format!("element/{element}/click"), json!({}))
            .await?;
        Ok(())
    }

    /// Types into the first element that fits.
    pub(super) async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector).await?;
        let path = format!("element/{element}/value");
        self.post(&path, json!({"text": text})).await?;
        Ok(())
    }

    /// Presses a key that goes to whatever has the focus.
    pub(super) async fn press(&self, key: char) -> Result<()> {
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": [
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]}]});
        self.post("actions", actions).await?;
        Ok(())
    }

    /// What an expression of JavaScript comes to. It is the test's own, not the page's.
    pub(super) async fn evaluate(&self, expression: &str) -> Result<Value> {
        let script = format!("return {expression};");
        self.post("execute/sync", json!({"script": script, "args": []}))
            .await
    }

    /// A picture of the window, as PNG.
    pub(super) async fn picture(&self) -> Result<Vec<u8>> {
        Ok(STANDARD.decode(self.text("screenshot").await?)?)
    }

    async fn find(&self, selector: &str) -> Result<String> {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.post("element", wanted).await;
        let found = found.with_context(|| format!("there is no {selector}"))?;
        Ok(found[ELEMENT].as_str().context("no element")?.to_owned())
    }

    /// A command of Chromium's developer tools.
    async fn tool(&self, command: &str, parameters: Value) -> Result<Value> {
        let body = json!({"cmd": command, "params": parameters});
        self.post("goog/cdp/execute", body).await
    }

    async fn text(&self, path: &str) -> Result<String> {
        let request = self.client.request(Method::GET, self.at(path));
        let value = ask(request).await?;
        Ok(value.as_str().context("no text")?.to_owned())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        ask(self.client.post(self.at(path)).json(&body)).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.session)
    }

    /// Ends the browser.
    pub(super) async fn close(self) -> Result<()> {
        ask(self.client.delete(&self.session)).await?;
        Ok(())
    }
}

fn capabilities(look: Look) -> Value {
    let window = format!("--window-size={},{}", look.width, look.height);
    let arguments = [
        "--headless=new",
        // Tests may run as root, and in containers with little shared memory.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        &window,
    ];
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": {"args": arguments},
    }}})
}

/// Starts chromedriver. It takes a port that is free for IPv4 and wants the same for IPv6, where it
/// may be taken: then it ends, and is started again.
async fn chromedriver() -> Result<(Child, u16)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context(
                "chromedriver is not there; install Chromium with it, on Debian \
                 `apt-get install chromium chromium-driver`",
            )?;
        let port = tokio::time::timeout(Duration::from_mins(1), port_of(&mut driver)).await;
        match port.context("chromedriver did not start in time")? {
            Ok(port) => return Ok((driver, port)),
            Err(error) if attempts == START_ATTEMPTS => return Err(error),
            Err(_) => {}
        }
    }
}

/// The port that chromedriver chose.
async fn port_of(driver: &mut Child) -> Result<u16> {
    let output = driver.stdout.take().context("no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        let Some((_, port)) = line.split_once("started successfully on port ") else {
            said.push_str(&line);
            continue;
        };
        // It goes on writing, and must not be stopped by a pipe that is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(port.trim_end_matches('.').parse()?);
    }
    bail!("chromedriver ended before it was ready: {said}")
}

async fn ask(request: reqwest::RequestBuilder) -> Result<Value> {
    let answer = request.send().await.context("chromedriver is gone")?;
    let status = answer.status();
    let mut body: Value = answer.json().await.context("no JSON of chromedriver")?;
    let value = body["value"].take();
    anyhow::ensure!(status.is_success(), "{status}: {}", value["message"]);
    Ok(value)
}
