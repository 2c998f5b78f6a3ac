"""Real peers for tests: Asterisk, RabbitMQ, PostgreSQL, MariaDB, Chromium, and a TCP proxy that misbehaves.

Each is started on ports and in folders of its own, ended by its own process id, and put right again
before every test that asks for it. Where a peer is not installed the test is skipped with the reason;
with CI set it fails, so that nothing goes unseen.
"""
