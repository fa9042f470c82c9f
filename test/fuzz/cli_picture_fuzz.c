// What `lane top` makes of the whole system, whatever the broker and the daemons say of themselves: streams, connections,
// replays, workers, health and figures, twice, so that there are rates. The picture is JSON, and on the screen it is
// lines that fit, without a character that a terminal would take for more than itself.
#include "cli/meter.h"
#include "cli/picture.h"
#include "cli/screen.h"
#include "played_bucket.h"

// --- lanes: none; they are counted on a thread of its own ---------------------------------------------------

bus_err lane_meter_open(lane_meter **out, bus_conn *conn, const char *const *subjects, size_t count)
{
    (void)conn;
    (void)subjects;
    (void)count;
    *out = NULL;
    return BUS_OK;
}

// A subject holds neither blanks nor what is below.
bus_err lane_meter_take(lane_meter *meter, lane_reading *out)
{
    static const char *const names[] = {"act.exchange.binance.trade.tape", "(others)"};
    (void)meter;
    *out = (lane_reading){calloc(2, sizeof *out->family), 2, 1, 1, byte(), ""};
    demand(out->family != NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(out->family[i].name, LANE_FAMILY_CAP, "%s", names[i]);
        out->family[i].messages = byte();
        out->family[i].lag_ns = out->family[i].lag_worst_ns = byte() - 1;
    }
    return BUS_OK;
}

void lane_meter_close(lane_meter *meter)
{
    (void)meter;
}

void lane_family_of(char out[LANE_FAMILY_CAP], bus_view subject)
{
    (void)bus_view_copy(subject, out, LANE_FAMILY_CAP);
}

// --- what is drawn ------------------------------------------------------------------------------------------

static void look_at_screen(const json_t *picture, uint8_t how)
{
    lane_view view = {.width = 20 + how % 150,
                      .height = how & 1 ? 10 + how % 40 : 0,
                      .keys = how & 2,
                      .sort = (lane_sort)(how % LANE_SORTS),
                      .only = how % (LANE_SECTIONS + 1),
                      .skip = how & 4 ? 1 : 0,
                      .url = "nats://127.0.0.1:4222",
                      .every_s = 1};
    char *text = lane_screen_draw(picture, &view);
    int lines = 0;
    demand(text != NULL);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        lines += *at == '\n';
        demand(*at == '\n' || (*at >= ' ' && *at != 0x7f));
        demand(*at != 0xc2 || at[1] >= 0xa0); // controls above 0x7f
    }
    demand(!view.height || lines <= view.height);
    free(text);
}

static void paint(lane_painter *painter)
{
    json_t *picture = lane_painter_paint(painter);
    demand(picture != NULL);
    char *text = json_dumps(picture, JSON_COMPACT);
    demand(text != NULL);
    free(text);
    look_at_screen(picture, byte());
    json_decref(picture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bus_conn conn;
    lane_cli cli = {.conn = &conn, .timeout = BUS_SPAN_S(1)};
    lane_painter *painter;
    if (!play_open(data, size))
        return 0;
    play_more = deliver_next;
    bucket.consumer[0] = '\0';
    demand(lane_painter_open(&painter, &cli, NULL, 0) == BUS_OK);
    paint(painter);
    paint(painter);
    lane_painter_close(painter);
    play_close();
    return 0;
}
