//! Text requests in full feature phase (RFC 7143 §11.10, §11.11).
//!
//! Rules:
//! 1. One exchange at a time; a request with a reserved Target Transfer Tag begins a new one and drops the old.
//! 2. An answer longer than the initiator's segments is cut; the initiator asks for the rest with the tag.
//! 3. This side never ends an exchange before the initiator does (F bit).

use bytes::Bytes;

use super::Session;
use crate::directory::Directory;
use crate::discovery::send_targets;
use crate::negotiate::{Phase, negotiate};
use crate::outbox::{Outbox, RejectReason};
use crate::parameters::Key;
use crate::pdu::{Pdu, RESERVED_TAG, text_response};
use crate::text::{parse_pairs, put_pair};

/// A text exchange that is not over.
#[derive(Debug)]
pub(super) struct TextExchange {
    itt: u32,
    ttt: u32,
    /// What was received, until a request without the C bit completes it.
    received: Vec<u8>,
    /// What is still to be sent.
    unsent: Bytes,
}

impl Session {
    /// Why a Text Request whose turn it is is refused, which drops its exchange; None if it is not.
    pub(super) fn text_refusal(&self, pdu: &Pdu) -> Option<RejectReason> {
        let header = &pdu.header;
        let begins = header.ttt() == RESERVED_TAG && header.itt() != RESERVED_TAG;
        let before = match self.exchange_of(pdu) {
            Some(exchange) => exchange.received.as_slice(),
            None if begins => &[],
            None => return Some(RejectReason::InvalidField),
        };
        if before.len() + pdu.data.len() > self.config.max_text_bytes {
            return Some(RejectReason::LongOperation);
        }
        if header.continues() {
            return header.is_final().then_some(RejectReason::InvalidField);
        }
        let text = [before, &pdu.data].concat();
        parse_pairs(&text).err().map(|_| RejectReason::Protocol)
    }

    fn exchange_of(&self, pdu: &Pdu) -> Option<&TextExchange> {
        let header = &pdu.header;
        self.text.as_ref().filter(|exchange| {
            header.ttt() != RESERVED_TAG
                && exchange.ttt == header.ttt()
                && exchange.itt == header.itt()
        })
    }

    /// Act on a Text Request whose turn it is and that is not refused.
    pub(super) fn handle_text(
        &mut self,
        pdu: &Pdu,
        directory: &dyn Directory,
        outbox: &mut Outbox,
    ) {
        let header = &pdu.header;
        let goes_on = self.exchange_of(pdu).is_some();
        let mut exchange = match self.text.take() {
            Some(exchange) if goes_on => exchange,
            _ => TextExchange {
                itt: header.itt(),
                ttt: self.new_ttt(),
                received: Vec::new(),
                unsent: Bytes::new(),
            },
        };
        exchange.received.extend_from_slice(&pdu.data);
        if header.continues() {
            self.send_text(exchange, false, outbox);
            return;
        }
        let text = std::mem::take(&mut exchange.received);
        if !text.is_empty() {
            exchange.unsent = self.answer_text(&text, directory);
        }
        self.send_text(exchange, header.is_final(), outbox);
    }

    /// Send the next part of an exchange's answer, and keep the exchange if it is not over.
    fn send_text(&mut self, mut exchange: TextExchange, may_end: bool, outbox: &mut Outbox) {
        let limit = self.parameters.get(Key::MaxRecvDataSegmentLength) as usize;
        let part = exchange.unsent.split_to(exchange.unsent.len().min(limit));
        let continues = !exchange.unsent.is_empty();
        let is_final = may_end && !continues;
        let ttt = if is_final { RESERVED_TAG } else { exchange.ttt };
        let pdu = text_response(exchange.itt, ttt, is_final, continues);
        outbox.send(pdu, self.sequence(), std::iter::once(part));
        self.text = (!is_final).then_some(exchange);
    }

    /// The answer to a complete text that is well-formed.
    fn answer_text(&mut self, text: &[u8], directory: &dyn Directory) -> Bytes {
        let pairs = parse_pairs(text).unwrap_or_default();
        let mut reply = Vec::new();
        let target = self
            .identity
            .target
            .as_ref()
            .map(|target| target.name.as_str());
        let (kind, initiator) = (self.identity.kind, self.identity.initiator.as_str());
        for (key, value) in pairs {
            if key == "SendTargets" {
                if !send_targets(
                    value,
                    kind,
                    target,
                    initiator,
                    directory,
                    &self.config,
                    &mut reply,
                ) {
                    put_pair(&mut reply, key, "Reject");
                }
                continue;
            }
            if key == "InitiatorAlias" {
                continue;
            }
            let answer = negotiate(
                key,
                value,
                Phase::FullFeature,
                kind,
                &self.config,
                &mut self.parameters,
            );
            if let Some(answer) = answer {
                put_pair(&mut reply, key, &answer);
            }
        }
        Bytes::from(reply)
    }
}
