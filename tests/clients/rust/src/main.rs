//! The checks of tests/clients, with async-nats.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, HeaderMap, RequestErrorKind, Subscriber};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Bounds every wait; it measures nothing.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let url = std::env::args().nth(1).ok_or("usage: checks URL")?;
    let (back, mut returns) = mpsc::unbounded_channel();
    let connect = || {
        let back = back.clone();
        ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .event_callback(move |event| {
                if let Event::Connected = event {
                    let _ = back.send(());
                }
                async {}
            })
            .connect(&url)
    };
    let (nc, other) = (connect().await?, connect().await?);
    publish(&nc, &other).await?;
    println!("ok publish");
    wildcards(&nc, &other).await?;
    println!("ok wildcards");
    request(&nc, &other).await?;
    println!("ok request");
    queue(&nc, &other).await?;
    println!("ok queue");
    headers(&nc, &other).await?;
    println!("ok headers");
    no_responders(&nc).await?;
    println!("ok no responders");
    drain(&nc, &other).await?;
    println!("ok drain");
    // The two events of the first connections.
    returns.recv().await;
    returns.recv().await;
    reconnect(&nc, &other, &mut returns).await?;
    println!("ok reconnect");
    Ok(())
}

async fn next(sub: &mut Subscriber) -> Result<async_nats::Message, Box<dyn std::error::Error>> {
    Ok(tokio::time::timeout(DEADLINE, sub.next())
        .await?
        .ok_or("the subscription ended")?)
}

/// Waits until all subscriptions of `other` so far are known where `nc` publishes.
///
/// `Client::flush` of async-nats only writes; it does not wait for the server's PONG. But a
/// subscription made after the others is in force after them.
async fn settle(nc: &Client, other: &Client) -> Outcome {
    let subject = other.new_inbox();
    let mut sub = other.subscribe(subject.clone()).await?;
    other.flush().await?;
    let retry = Duration::from_millis(20);
    let knock = async {
        loop {
            nc.publish(subject.clone(), "".into()).await?;
            if tokio::time::timeout(retry, sub.next()).await.is_ok() {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(DEADLINE, knock).await?
}

async fn publish(nc: &Client, other: &Client) -> Outcome {
    let mut sub = other.subscribe("numbers").await?;
    settle(nc, other).await?;
    for i in 0..1000 {
        nc.publish("numbers", i.to_string().into()).await?;
    }
    for i in 0..1000 {
        assert_eq!(next(&mut sub).await?.payload, i.to_string());
    }
    Ok(())
}

async fn wildcards(nc: &Client, other: &Client) -> Outcome {
    let mut one = other.subscribe("w.*.x").await?;
    let mut many = other.subscribe("w.>").await?;
    settle(nc, other).await?;
    for subject in ["w.a.x", "w.a.b.x", "w", "w.a", "w.end.x"] {
        nc.publish(subject, "".into()).await?;
    }
    for (sub, expected) in [
        (&mut one, &["w.a.x", "w.end.x"][..]),
        (&mut many, &["w.a.x", "w.a.b.x", "w.a", "w.end.x"]),
    ] {
        for subject in expected {
            assert_eq!(next(sub).await?.subject.as_str(), *subject);
        }
    }
    Ok(())
}

async fn request(nc: &Client, other: &Client) -> Outcome {
    let mut sub = other.subscribe("double").await?;
    let responder = other.clone();
    tokio::spawn(async move {
        while let Some(msg) = sub.next().await {
            let twice = [&msg.payload[..], &msg.payload].concat();
            if let Some(reply) = msg.reply {
                responder.publish(reply, twice.into()).await.expect("reply");
            }
        }
    });
    settle(nc, other).await?;
    let answers = join_all((0..100).map(|i| nc.request("double", format!("{i}.").into()))).await;
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer?.payload, format!("{i}.{i}."));
    }
    Ok(())
}

async fn queue(nc: &Client, other: &Client) -> Outcome {
    let (got, mut received) = mpsc::unbounded_channel();
    for client in [nc, other, other] {
        let mut sub = client.queue_subscribe("jobs", "workers".to_owned()).await?;
        settle(nc, client).await?;
        let got = got.clone();
        tokio::spawn(async move {
            while let Some(msg) = sub.next().await {
                let _ = got.send(msg.payload);
            }
        });
    }
    let mut missing: std::collections::HashSet<_> = (0..300)
        .map(|i: u32| bytes::Bytes::from(i.to_string()))
        .collect();
    for payload in &missing {
        nc.publish("jobs", payload.clone()).await?;
    }
    while !missing.is_empty() {
        let payload = tokio::time::timeout(DEADLINE, received.recv())
            .await?
            .ok_or("the members ended")?;
        assert!(missing.remove(&payload), "doubled: {payload:?}");
    }
    Ok(())
}

async fn headers(nc: &Client, other: &Client) -> Outcome {
    let mut sub = other.subscribe("headed").await?;
    settle(nc, other).await?;
    let mut map = HeaderMap::new();
    map.append("Key", "Value");
    map.append("Key", "Second");
    nc.publish_with_headers("headed", map.clone(), "body".into())
        .await?;
    let msg = next(&mut sub).await?;
    assert_eq!(msg.payload, "body");
    assert_eq!(msg.headers, Some(map));
    Ok(())
}

async fn no_responders(nc: &Client) -> Outcome {
    let error = nc.request("nobody", "".into()).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
    Ok(())
}

async fn drain(nc: &Client, other: &Client) -> Outcome {
    let mut sub = other.subscribe("drained").await?;
    settle(nc, other).await?;
    for i in 0..500 {
        nc.publish("drained", i.to_string().into()).await?;
    }
    // A round trip through the other connection: what was sent before is on its way there.
    nc.request("double", "".into()).await?;
    sub.drain().await?;
    for i in 0..500 {
        assert_eq!(next(&mut sub).await?.payload, i.to_string());
    }
    assert!(
        tokio::time::timeout(DEADLINE, sub.next()).await?.is_none(),
        "the subscription ends when it is drained"
    );
    Ok(())
}

async fn reconnect(
    nc: &Client,
    other: &Client,
    returns: &mut mpsc::UnboundedReceiver<()>,
) -> Outcome {
    let mut sub = other.subscribe("after").await?;
    settle(nc, other).await?;
    println!("restart");
    let mut line = String::new();
    BufReader::new(tokio::io::stdin())
        .read_line(&mut line)
        .await?;
    for _ in 0..2 {
        tokio::time::timeout(DEADLINE, returns.recv()).await?;
    }
    settle(nc, other).await?;
    nc.publish("after", "back".into()).await?;
    assert_eq!(next(&mut sub).await?.payload, "back");
    Ok(())
}
