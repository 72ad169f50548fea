// The checks of tests/clients, with the C client (libnats).
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Milliseconds; bounds every wait, measures nothing.
#define DEADLINE 10000

static void must(natsStatus s, int line)
{
    if (s != NATS_OK) {
        fprintf(stderr, "checks.c:%d: %s\n", line, natsStatus_GetText(s));
        exit(1);
    }
}
#define MUST(call) must((call), __LINE__)
#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition)) {                                         \
            fprintf(stderr, "checks.c:%d: %s\n", __LINE__, #condition); \
            exit(1);                                                \
        }                                                           \
    } while (0)

// What callbacks received, guarded by `lock`.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int taken[300];
static int total_taken;
static int reconnects;

static void wait_until(int *counter, int value)
{
    pthread_mutex_lock(&lock);
    while (*counter < value)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static natsSubscription *subscribe(natsConnection *nc, const char *subject)
{
    natsSubscription *sub = NULL;
    MUST(natsConnection_SubscribeSync(&sub, nc, subject));
    MUST(natsConnection_Flush(nc));
    return sub;
}

// The next message must have this payload.
static void expect(natsSubscription *sub, const char *payload)
{
    natsMsg *msg = NULL;
    MUST(natsSubscription_NextMsg(&msg, sub, DEADLINE));
    CHECK(strcmp(natsMsg_GetData(msg), payload) == 0);
    natsMsg_Destroy(msg);
}

static void publish(natsConnection *nc, natsConnection *other)
{
    natsSubscription *sub = subscribe(other, "numbers");
    char text[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%d", i);
        MUST(natsConnection_PublishString(nc, "numbers", text));
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%d", i);
        expect(sub, text);
    }
    natsSubscription_Destroy(sub);
}

static void wildcards(natsConnection *nc, natsConnection *other)
{
    natsSubscription *one = subscribe(other, "w.*.x");
    natsSubscription *many = subscribe(other, "w.>");
    const char *subjects[] = {"w.a.x", "w.a.b.x", "w", "w.a", "w.end.x"};
    for (int i = 0; i < 5; i++)
        MUST(natsConnection_PublishString(nc, subjects[i], subjects[i]));
    expect(one, "w.a.x");
    expect(one, "w.end.x");
    expect(many, "w.a.x");
    expect(many, "w.a.b.x");
    expect(many, "w.a");
    expect(many, "w.end.x");
    natsSubscription_Destroy(one);
    natsSubscription_Destroy(many);
}

static void on_request(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void)sub, (void)closure;
    char twice[64];
    snprintf(twice, sizeof twice, "%s%s", natsMsg_GetData(msg), natsMsg_GetData(msg));
    MUST(natsConnection_PublishString(nc, natsMsg_GetReply(msg), twice));
    natsMsg_Destroy(msg);
}

static void ask(natsConnection *nc, const char *text)
{
    natsMsg *answer = NULL;
    char twice[64];
    snprintf(twice, sizeof twice, "%s%s", text, text);
    MUST(natsConnection_RequestString(&answer, nc, "double", text, DEADLINE));
    CHECK(strcmp(natsMsg_GetData(answer), twice) == 0);
    natsMsg_Destroy(answer);
}

static void request(natsConnection *nc, natsConnection *other)
{
    natsSubscription *sub = NULL; // kept for the later checks
    MUST(natsConnection_Subscribe(&sub, other, "double", on_request, NULL));
    MUST(natsConnection_Flush(other));
    char text[16];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%d.", i);
        ask(nc, text);
    }
}

static void on_job(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void)nc, (void)sub, (void)closure;
    pthread_mutex_lock(&lock);
    taken[atoi(natsMsg_GetData(msg))]++;
    total_taken++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    natsMsg_Destroy(msg);
}

static void queue(natsConnection *nc, natsConnection *other)
{
    natsConnection *members[] = {nc, other, other};
    natsSubscription *sub = NULL;
    for (int i = 0; i < 3; i++) {
        MUST(natsConnection_QueueSubscribe(&sub, members[i], "jobs", "workers", on_job, NULL));
        MUST(natsConnection_Flush(members[i]));
    }
    char text[16];
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "%d", i);
        MUST(natsConnection_PublishString(nc, "jobs", text));
    }
    wait_until(&total_taken, 300);
    for (int i = 0; i < 300; i++)
        CHECK(taken[i] == 1);
}

static void headers(natsConnection *nc, natsConnection *other)
{
    natsSubscription *sub = subscribe(other, "headed");
    natsMsg *msg = NULL;
    const char *value = NULL;
    MUST(natsMsg_Create(&msg, "headed", NULL, "body", 4));
    MUST(natsMsgHeader_Set(msg, "Key", "Value"));
    MUST(natsConnection_PublishMsg(nc, msg));
    natsMsg_Destroy(msg);
    MUST(natsSubscription_NextMsg(&msg, sub, DEADLINE));
    CHECK(strcmp(natsMsg_GetData(msg), "body") == 0);
    MUST(natsMsgHeader_Get(msg, "Key", &value));
    CHECK(strcmp(value, "Value") == 0);
    natsMsg_Destroy(msg);
    natsSubscription_Destroy(sub);
}

static void no_responders(natsConnection *nc, natsConnection *other)
{
    (void)other;
    natsMsg *answer = NULL;
    CHECK(natsConnection_RequestString(&answer, nc, "nobody", "", DEADLINE) == NATS_NO_RESPONDERS);
}

static void drain(natsConnection *nc, natsConnection *other)
{
    natsSubscription *sub = subscribe(other, "drained");
    char text[16];
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "%d", i);
        MUST(natsConnection_PublishString(nc, "drained", text));
    }
    // A round trip through the other connection: what was sent before is on its way there.
    ask(nc, "x");
    MUST(natsSubscription_Drain(sub));
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "%d", i);
        expect(sub, text);
    }
    natsSubscription_Destroy(sub);
}

static void on_reconnect(natsConnection *nc, void *closure)
{
    (void)nc, (void)closure;
    pthread_mutex_lock(&lock);
    reconnects++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void reconnect(natsConnection *nc, natsConnection *other)
{
    natsSubscription *sub = subscribe(other, "after");
    puts("restart");
    CHECK(getchar() == '\n');
    wait_until(&reconnects, 2);
    MUST(natsConnection_Flush(other));
    MUST(natsConnection_PublishString(nc, "after", "back"));
    expect(sub, "back");
    natsSubscription_Destroy(sub);
}

static natsConnection *connect_to(const char *url)
{
    natsOptions *options = NULL;
    natsConnection *nc = NULL;
    MUST(natsOptions_Create(&options));
    MUST(natsOptions_SetURL(options, url));
    MUST(natsOptions_SetMaxReconnect(options, -1));
    MUST(natsOptions_SetReconnectWait(options, 50));
    MUST(natsOptions_SetReconnectedCB(options, on_reconnect, NULL));
    MUST(natsConnection_Connect(&nc, options));
    natsOptions_Destroy(options);
    return nc;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(natsConnection *nc, natsConnection *other);
    } checks[] = {
        {"publish", publish}, {"wildcards", wildcards},         {"request", request},
        {"queue", queue},     {"headers", headers},             {"no responders", no_responders},
        {"drain", drain},     {"reconnect", reconnect},
    };
    CHECK(argc == 2);
    setvbuf(stdout, NULL, _IOLBF, 0);
    natsConnection *nc = connect_to(argv[1]);
    natsConnection *other = connect_to(argv[1]);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        checks[i].run(nc, other);
        printf("ok %s\n", checks[i].name);
    }
    natsConnection_Close(other);
    natsConnection_Close(nc);
    return 0;
}
