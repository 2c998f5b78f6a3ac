"""Sentences that the rooms below write in English, said again in the person's language.

Errors, alarms and test steps are written where they happen, with names and numbers in them. Here stand
their forms, with `{}` places; a sentence that fits a form is drawn from the form's translation, any other
is shown as it came. Nothing is ever lost by a form that is missing.
"""

from __future__ import annotations

import re
from functools import lru_cache

from atalaia.web.i18n import N_, gettext, view

FORMS = (
    # a session and its loss
    N_("Nothing was heard or proven for too long."),
    N_("The session ended by itself."),
    N_("A defect of ours ended the session ({}). See the log."),
    N_("Nothing answers on {} ({}). Check that Asterisk runs and the address."),
    N_("Asterisk is hung: {} accepts connections but gave no answer within {} s."),
    N_("{} accepted no connection within {} s. Check the network and firewalls."),
    N_("Correct the certificate settings of the connection, or the certificate of Asterisk."),
    N_("The encrypted connection to {} failed: {}."),
    N_("Asterisk on {} refused our user or password (HTTP {})."),
    N_("Correct the ARI user and password: they must equal a section of ari.conf."),
    N_(
        "ARI is not there yet on {} (404 for {}). Asterisk may still be starting; if this lasts, check the "
        "prefix (http.conf) and that res_ari is loaded."
    ),
    N_("Asterisk on {} answered {} with HTTP {}."),
    N_("The event socket is open, but Asterisk does not know our application {}."),
    N_("The event socket is open but mute: our own event did not come back within {} s."),
    N_("The event socket is dead: no answer to a ping within {} s; REST answers."),
    N_("Asterisk is hung: {} answers neither a ping within {} s nor a request."),
    N_("Another program connected to Asterisk as our application {} and took the events away."),
    N_("The event socket is open but mute: it told nothing of the channel {}."),
    N_("The event socket to {} broke without a close frame."),
    N_("{} sent an event too large to be received at all (code 1009)."),
    N_("Asterisk on {} closed the event socket ({})."),
    N_("Hearing was given up: {} MiB of events were waiting for the database, the limit."),
    N_("The session to {} failed."),
    N_("connection refused"),
    N_("connection reset"),
    N_("no route to host"),
    N_("network is unreachable"),
    N_("timed out"),
    N_("Correct the path in the connection's settings."),
    N_("the hub was not running"),
    N_("closed by us"),
    N_("cut without a close frame ({})"),
    N_("closed by Asterisk ({})"),
    N_("calls that began and ended inside of the gap"),
    # planes
    N_("no channels"),
    N_("a channel was not told"),
    N_("read-only: application check"),
    # how a call was put together after a loss
    N_("end and length from the WAV file"),
    N_("end = loss of the socket"),
    N_("Asterisk restarted: end = loss of the socket"),
    N_("whole call from GET /channels and /bridges"),
    N_("answer from GET /bridges"),
    N_("answer from GET /channels"),
    N_("answer from the length of the WAV file"),
    N_("talking to another party after the loss: end = loss of the socket"),
    N_("state from GET /endpoints"),
    # alarms
    N_("Another client took the application name {}."),
    N_("Find out which client uses it; ours comes back with a new name."),
    N_("Asterisk sends nothing about {} configured endpoint(s): {}"),
    N_("Reload PJSIP on Asterisk (module reload res_pjsip.so), or take them out of the configuration."),
    N_("The configuration was not read: {}"),
    N_("The configuration was kept as it was: {}"),
    N_("Make the configuration readable again; until then the last reading counts."),
    N_("The configuration is read without what is wrong in it: {}"),
    N_("Correct the lines; they are read again by themselves."),
    N_("{} does not take deliveries."),
    N_("Nothing: it is tried again every 30 s, and nothing is lost meanwhile."),
    N_("Nothing: it is tried again at least twice a minute, and nothing is lost meanwhile."),
    N_("Deliveries of {} were given up."),
    N_("Look at the dead letters: send them again, or skip them."),
    N_(
        "Look at the dead letters: send them again, or skip them. Later events of the same key wait until "
        "you do."
    ),
    # the test of a connection: names of steps, what was seen, what to do
    N_("Host name"),
    N_("Port"),
    N_("Rights"),
    N_("Events"),
    N_("Endpoints"),
    N_("Recordings"),
    N_("Configuration"),
    N_("Not tried, because an earlier step failed."),
    N_("The name {} is not known."),
    N_("Correct the address."),
    N_("{} is {}."),
    N_("{} accepts connections."),
    N_("Nothing accepts connections on {}."),
    N_("Check that Asterisk runs, `enabled` and `bindaddr` in http.conf, and firewalls between."),
    N_("Look at Asterisk: its port is open, but it is stuck."),
    N_("ARI does not answer below the prefix “{}”, but below “{}”."),
    N_("Set the prefix to “{}”."),
    N_("Leave the prefix empty."),
    N_("Check `enabled` in ari.conf, the prefix in http.conf, and that res_ari is loaded."),
    N_("Something answers there, but it is not Asterisk."),
    N_("Asterisk {} called {}."),
    N_("Asterisk {} (no systemname in asterisk.conf)."),
    N_("Allow WebSockets on the way to Asterisk (proxies)."),
    N_("The event socket is open and Asterisk knows our application (read-only: no canary)."),
    N_("Asterisk forgot our app."),
    N_("Try again; if it stays so, look at Asterisk's log."),
    N_("Restart res_ari (or Asterisk), and look at Asterisk's log for res_http_websocket."),
    N_("Our own event came back in {} ms."),
    N_("Set `read_only = no` for the user in ari.conf, so that the event socket can be proven."),
    N_("The user may only read; that is enough to listen."),
    N_("The user may read and write."),
    N_("Look at the user in ari.conf."),
    N_("No AMI port is set."),
    N_("Give one (5038) to see a hung Asterisk sooner."),
    N_("Check manager.conf, or leave the AMI port empty."),
    N_("Make it readable, or choose another source."),
    N_("{} clients, {} endpoints, {} ring groups."),
    N_("Set the folder or the database that lists them."),
    N_("Correct: {}"),
    N_("Asterisk knows {} endpoints, ours among them."),
    N_("Asterisk knows nothing of {} endpoints: {}."),
    N_("Reload PJSIP on Asterisk, or correct the configuration."),
    N_("No recordings folder is set."),
    N_("Give it, so that calls which end while nobody listens get their true length."),
    N_("The folder {} cannot be read ({})."),
    N_("Correct the folder or its permissions."),
    N_("{} recordings of the last {} hours."),
    N_("The list of RabbitMQ servers has {} problem(s)."),
    N_("Fill __MQSERVERS__.DEF when messages shall go to RabbitMQ."),
    N_("No RabbitMQ server is listed."),
    N_("Listed, in order of preference: {}."),
    N_("The settings are well formed; there is nothing else to try."),
    # deliveries: what a consumer said, what to do
    N_("address"),
    N_("ping"),
    N_("servers"),
    N_("The consumer answered HTTP {}."),
    N_("The consumer answered HTTP {} and asked for a pause."),
    N_("The consumer answered HTTP {}, a redirect; those are never followed."),
    N_("Write the final address into the subscription."),
    N_("The consumer answered {} to a signed ping."),
    N_("Answer 2xx to events you do not know."),
    N_("See that the consumer runs and is reachable from here."),
    N_("Correct the address, or allow the network."),
    N_("Correct the address, or allow it in the setting allow_private_targets."),
    N_("Not sent: the address is not usable."),
    N_("Not sent: {}"),
    N_("The name {} was not found. Check the address."),
    N_("No secure connection to {}: {}."),
    N_("No connection to {}, virtual host {}: {}"),
    N_("No connection to {}: {}."),
    N_("The connection to {} broke: {}."),
    N_("{} did not answer within {} s."),
    N_("The consumer answers 401: correct the secret header or the signing secret."),
    N_("The consumer answers 403: ask its owner to let the hub in."),
    N_("The consumer answers 410: it is gone for good. Delete the subscription or change its address."),
    N_("No RabbitMQ server is configured."),
    N_("No server is configured."),
    N_("Name at least one RabbitMQ server."),
    N_("See that RabbitMQ runs there and is reachable from here."),
    N_("Signed in as {}; virtual host {} is there."),
    N_("{} has no virtual host {}."),
    N_("Create the virtual host {} in RabbitMQ, or correct its name."),
    N_("Correct user and password of the RabbitMQ server."),
    N_("The connection to {} was closed, virtual host {}."),
    N_("RabbitMQ did not confirm within {} s."),
    N_("The subscription was deleted."),
)


def said(text: str) -> str:
    """Answer an English sentence of the house in the language of the view; one without a form as it is."""
    language = view().language
    return text if language == "en" or not text else _said(text, language)


@lru_cache(maxsize=2_000)
def _said(text: str, language: str) -> str:
    exact = gettext(text)
    if exact != text:
        return exact
    for pattern, form in _patterns():
        if found := pattern.fullmatch(text):
            return gettext(form).format(*(_inner(group) for group in found.groups()))
    return text


def _inner(text: str) -> str:
    """Answer what stands in a place: a form of its own, or a name that stays as it is."""
    return gettext(text) if text in FORMS else text


@lru_cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Answer the forms with places, the most particular first."""
    forms = sorted((form for form in FORMS if "{}" in form), key=lambda form: -len(form.replace("{}", "")))
    return [
        (re.compile("(.+?)".join(re.escape(part) for part in form.split("{}")), re.DOTALL), form)
        for form in forms
    ]
