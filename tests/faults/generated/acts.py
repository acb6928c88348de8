"""The acts of each flow, in their order, and the moments of an act."""

from tasks.acts import Act

RELEASED = (
    Act.PLAN,
    Act.SNAPSHOT,
    Act.REHEARSAL,
    Act.RESET_STAGING,
    Act.MIGRATE_STAGING,
    Act.DEPLOY_STAGING,
    Act.SMOKE_TESTS,
    Act.RESTORE_POINT,
    Act.MIGRATE_PRODUCTION,
    Act.BUILD_PRODUCTION,
    Act.CHECK_BUILD,
    Act.PROMOTE,
    Act.VALIDATE_DATABASE,
    Act.WATCH_PRODUCTION,
)
ROLLED_BACK = {
    "application": (Act.ROLL_BACK_APPLICATION, Act.VALIDATE_DATABASE, Act.WATCH_PRODUCTION),
    "data": (
        Act.MAINTENANCE_ON,
        Act.LIFT_PROTECTION,
        Act.RESTORE,
        Act.RESTORE_PROTECTION,
        Act.ROLL_BACK_APPLICATION,
        Act.VALIDATE_DATABASE,
        Act.RECEIPT,
        Act.MAINTENANCE_OFF,
        Act.WATCH_PRODUCTION,
    ),
}
MOMENTS = ("before", "effect", "after")
